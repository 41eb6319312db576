package postgres

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Answer classifies why a server did not answer a query.
type Answer string

// The classes. Hanging is everything that is no clear word from the server or the kernel.
const (
	AnswerStarting Answer = "starting" // "the database system is starting up", or not yet ready
	AnswerStopping Answer = "stopping" // "the database system is shutting down"
	AnswerRefused  Answer = "refused"  // nobody listens on the socket
	AnswerHanging  Answer = "hanging"
)

// Classify reads the error of a DB call.
func Classify(err error) Answer {
	var pg *pgconn.PgError
	var network *net.OpError
	switch {
	case errors.As(err, &pg) && pg.Code == "57P03" && strings.Contains(pg.Message, "shutting down"):
		return AnswerStopping
	case errors.As(err, &pg) && pg.Code == "57P03":
		return AnswerStarting
	case errors.Is(err, context.DeadlineExceeded):
		return AnswerHanging
	case errors.As(err, &network) && !network.Timeout():
		return AnswerRefused
	}
	return AnswerHanging
}
