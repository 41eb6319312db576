package mem_test

import (
	"testing"

	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/mem"
	"github.com/pgherd/pgherd/internal/store/storetest"
)

type factory struct{}

func (factory) Open(*testing.T) store.Store { return mem.New() }
func (factory) Another(_ *testing.T, s store.Store) store.Store {
	return s.(*mem.Store).Handle()
}

func TestConformance(t *testing.T) { storetest.Run(t, factory{}) }
