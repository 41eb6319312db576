package history

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"
)

// LeaseKind is what a member did with the lease, or knew of it.
type LeaseKind string

// Kinds of operations on the lease.
const (
	Take    LeaseKind = "take"    // its term is the member's from now on
	Hold    LeaseKind = "hold"    // the member trusted its lease at that instant
	Release LeaseKind = "release" // given back, with proof that nothing can write
)

// LeaseOp is one of them, as a member's journal has it. Instants are of one clock for all members.
type LeaseOp struct {
	Member string
	Term   uint64
	Kind   LeaseKind
	Sent   time.Duration
	Done   time.Duration
}

// leaseState is who leads.
type leaseState struct {
	holder string
	term   uint64
	held   bool
}

// leftOut is how many terms a store that was rebuilt leaves out: those who are gone may have used some.
const leftOut = 10

// leaseModel is the lease as DESIGN section 5 has it. That a lease runs out is not in it: whoever takes
// the next term ends the one before, and if the old holder still trusted its own at any later
// instant, there is no order in which that Hold has a place.
var leaseModel = porcupine.Model{
	Init: func() any { return leaseState{} },
	Step: func(state, input, _ any) (bool, any) {
		s, in := state.(leaseState), input.(LeaseOp)
		own := s.held && s.holder == in.Member && s.term == in.Term
		switch in.Kind {
		case Take:
			return s.term == 0 || in.Term == s.term+1 || in.Term > s.term+leftOut, leaseState{in.Member, in.Term, true}
		case Release:
			return own, leaseState{s.holder, s.term, false}
		default:
			return own, s
		}
	},
}

// CheckLeases says what is wrong with a history of the lease; nothing, when all members'
// journals fit into one order in which terms grow by one and nobody trusts a lease that
// another has taken. A history may begin in the middle.
func CheckLeases(ops []LeaseOp) (problems []string) {
	takes := map[uint64]string{}
	clients := map[string]int{}
	var list []porcupine.Operation
	for _, o := range ops {
		if o.Kind == Take {
			if other, taken := takes[o.Term]; taken && other != o.Member {
				problems = append(problems, fmt.Sprintf("term %d was taken by %s and by %s", o.Term, other, o.Member))
			}
			takes[o.Term] = o.Member
		}
		if _, ok := clients[o.Member]; !ok {
			clients[o.Member] = len(clients)
		}
		list = append(list, porcupine.Operation{ClientId: clients[o.Member], Call: int64(o.Sent), Return: int64(o.Done), Input: o})
	}
	switch porcupine.CheckOperationsTimeout(leaseModel, list, registerSearch) {
	case porcupine.Illegal:
		problems = append(problems, "the lease's history has no order: "+misplaced(ops))
	case porcupine.Unknown:
		problems = append(problems, fmt.Sprintf("the lease's history could not be judged within %v", registerSearch))
	}
	return problems
}

// misplaced looks for the usual reason: a member that trusted its lease after the next was taken.
func misplaced(ops []LeaseOp) string {
	for _, take := range ops {
		for _, o := range ops {
			if take.Kind == Take && o.Kind == Hold && o.Term < take.Term && o.Sent > take.Done {
				return fmt.Sprintf("%s trusted term %d at %v, but %s had taken term %d by %v", o.Member, o.Term, round(o.Sent), take.Member, take.Term, round(take.Done))
			}
		}
	}
	return "terms do not grow by one, or a member trusted a term that it never took"
}
