package etcd

import (
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// isRejected says that the server turned the request away before it could take
// effect. Anything else that is not an answer leaves a write's outcome unknown;
// that includes etcd's own time-outs and "leader changed".
func isRejected(err error) bool {
	err = rpctypes.Error(err)
	return errors.Is(err, rpctypes.ErrNoLeader) || // checked on arrival, see WithRequireLeader
		errors.Is(err, rpctypes.ErrTooManyRequests) ||
		errors.Is(err, rpctypes.ErrNotCapable) ||
		errors.Is(err, errLearner)
}

var errLearner = rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner)

// isFinal says that no other endpoint would answer differently.
func isFinal(err error) bool {
	if isRejected(err) {
		return false
	}
	switch status.Code(err) {
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated,
		codes.ResourceExhausted, codes.Unimplemented:
		return true
	default:
		return false
	}
}
