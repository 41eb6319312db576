package postgres

import "context"

// CreateSlot makes a physical replication slot that keeps WAL from now on. One that
// exists is left as it is.
func (db *DB) CreateSlot(ctx context.Context, name string) error {
	return db.exec(ctx, "create slot "+name,
		`SELECT pg_create_physical_replication_slot($1, true)
		  WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots WHERE slot_name = $1)`, name)
}

// DropSlot removes a slot; one that is not there is no error, one in use is.
func (db *DB) DropSlot(ctx context.Context, name string) error {
	return db.exec(ctx, "drop slot "+name,
		`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1`, name)
}
