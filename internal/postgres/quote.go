package postgres

import "strings"

// quoteGUC quotes a value for postgresql.conf, where a quoted string is one line
// with backslash escapes and doubled quotes.
func quoteGUC(value string) string {
	return "'" + strings.NewReplacer("'", "''", `\`, `\\`, "\n", `\n`, "\r", `\r`, "\x00", "").Replace(value) + "'"
}

// quoteConnInfo quotes a value for a libpq connection string.
func quoteConnInfo(value string) string {
	return "'" + strings.NewReplacer("'", `\'`, `\`, `\\`).Replace(value) + "'"
}

// quoteIdent quotes an SQL identifier, also as an item of a list parameter.
func quoteIdent(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteListItem quotes an item of a comma-separated list parameter (such as
// unix_socket_directories) when it needs it.
func quoteListItem(item string) string {
	if strings.ContainsAny(item, ", \t\"") {
		return quoteIdent(item)
	}
	return item
}
