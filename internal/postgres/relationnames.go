package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgherd/pgherd/internal/forks"
)

// NameRelations looks up in the running server what the relations are called: as they are now. A
// relation whose file is another one by now, or that was made in the fork, stays without a name;
// so does one in a database that takes no connections.
func (db *DB) NameRelations(ctx context.Context, relations []forks.Relation) error {
	databases, err := db.databases(ctx)
	if err != nil {
		return err
	}
	var of []uint32
	for _, r := range relations {
		if !slices.Contains(of, r.Database) {
			of = append(of, r.Database)
		}
	}
	for _, oid := range of {
		name := databases[oid]
		if oid == 0 {
			name = "postgres" // shared relations are the same in all
		}
		if name == "" {
			continue // dropped since, or not to be connected to
		}
		if err := db.nameIn(ctx, name, oid, relations); err != nil {
			return fmt.Errorf("names of relations in %s: %w", name, err)
		}
	}
	return nil
}

func (db *DB) databases(ctx context.Context) (map[uint32]string, error) {
	names := map[uint32]string{}
	err := db.apart(ctx, func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, "SELECT oid, datname FROM pg_database WHERE datallowconn")
		if err != nil {
			return err
		}
		var oid uint32
		var name string
		_, err = pgx.ForEachRow(rows, []any{&oid, &name}, func() error { names[oid] = name; return nil })
		return err
	})
	return names, err
}

// The table of an index or of a toast relation (or of its index) is what people know.
const relationNamesSQL = `
SELECT w.tablespace, w.filenode, quote_ident(n.nspname) || '.' || quote_ident(c.relname),
       CASE c.relkind WHEN 'r' THEN 'table' WHEN 'm' THEN 'table' WHEN 'i' THEN 'index' WHEN 't' THEN 'toast' WHEN 'S' THEN 'sequence' ELSE 'other' END,
       coalesce((SELECT quote_ident(tn.nspname) || '.' || quote_ident(t.relname) FROM pg_class t JOIN pg_namespace tn ON tn.oid = t.relnamespace
                  WHERE t.oid = i.indrelid AND t.relkind <> 't' OR t.reltoastrelid = coalesce(i.indrelid, c.oid) LIMIT 1), '')
  FROM (SELECT DISTINCT * FROM unnest($1::oid[], $2::oid[]) AS u (tablespace, filenode)) w
  JOIN pg_class c ON c.oid = pg_filenode_relation(w.tablespace, w.filenode)
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_index i ON i.indexrelid = c.oid`

func (db *DB) nameIn(ctx context.Context, database string, oid uint32, relations []forks.Relation) error {
	var tablespaces, filenodes []uint32
	for _, r := range relations {
		if r.Database == oid && !r.Created {
			tablespaces, filenodes = append(tablespaces, r.Tablespace), append(filenodes, r.Filenode)
		}
	}
	if len(filenodes) == 0 {
		return nil
	}
	conn, err := db.dialTo(ctx, database)
	if err != nil {
		return err
	}
	defer closeSoon(conn)
	rows, err := conn.Query(ctx, relationNamesSQL, tablespaces, filenodes)
	if err != nil {
		return err
	}
	var found forks.Relation
	_, err = pgx.ForEachRow(rows, []any{&found.Tablespace, &found.Filenode, &found.Name, &found.Kind, &found.Of}, func() error {
		for i := range relations {
			if r := &relations[i]; r.Database == oid && r.Tablespace == found.Tablespace && r.Filenode == found.Filenode && !r.Created {
				r.Name, r.Kind = database+"."+found.Name, found.Kind
				if found.Of != "" {
					r.Of = database + "." + found.Of
				}
			}
		}
		return nil
	})
	return err
}
