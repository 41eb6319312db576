// Package vuln runs scripts/vuln.sh as a part of the tests: a vulnerability that is known in what the binary calls fails them.
// Where its database cannot be asked, that is said among what was skipped. And it holds the script against databases of its own.
package vuln
