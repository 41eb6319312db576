// Package patroni says what a member knows in the documents of Patroni's REST API (GET /patroni, /cluster and
// /history) with its field names and words, so that what was written to watch Patroni can watch pgherd. The field names
// are those of Patroni 4.1.4; where a word of Patroni's has no meaning here, the field is left out, as a Patroni without
// that feature does.
//
// It must not read the store or PostgreSQL, decide anything, or be read by any part of pgherd itself: GET /v1/status is
// the document that nothing is left out of.
package patroni

// Version is the version of Patroni whose documents and metrics these are. Tools compare it: which states a member can
// be in depends on it.
const Version = "4.1.4"
