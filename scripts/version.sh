#!/bin/bash
# Prints what a build is called: VERSION COMMIT DATE. The version is that of the last tag, with the number of commits since
# then, in a form that dpkg and rpm sort as it was meant: 1.2.3, then 1.2.3+5.gabcdef0; before the first tag
# 0.0.0+N.gabcdef0. The date is the commit's, in UTC, not today's: the same commit gives the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
commit=$(git rev-parse --short=10 HEAD 2>/dev/null) || { echo "0.0.0+unknown unknown 1970-01-01T00:00:00Z"; exit; }
if described=$(git describe --tags --match 'v[0-9]*' --long 2>/dev/null); then
	since=${described%-g*}
	version=${since%-*} version=${version#v}
	since=${since##*-}
	version=${version//-/\~} # 2.0.0-rc1 comes before 2.0.0
	[ "$since" = 0 ] || version+="+$since.g$commit"
else
	version="0.0.0+$(git rev-list --count HEAD).g$commit"
fi
git diff-index --quiet HEAD -- 2>/dev/null || version+=$([[ $version == *+* ]] && echo .dirty || echo +dirty)
echo "$version $commit $(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd)"
