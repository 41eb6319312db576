package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgherd/pgherd/client"
)

func Example() {
	pool, err := client.Open(client.Config{
		DSN:  "postgresql://app@10.0.0.1,10.0.0.2,10.0.0.3/app?sslmode=verify-full&sslrootcert=/etc/ssl/pgherd-ca.crt",
		Pool: func(c *pgxpool.Config) { c.MaxConns = 16 },
	})
	if err != nil {
		log.Fatal(err) // only a connection string that cannot be read
	}
	defer pool.Close()
	pool.OnReady(func(t client.Target) { log.Printf("the primary is %s:%d", t.Host, t.Port) })

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := pool.WaitReady(ctx); err != nil {
		log.Fatal(err)
	}
	var n int
	if err := pool.QueryRow(ctx, "SELECT count(*) FROM orders").Scan(&n); err != nil {
		log.Fatal(err)
	}
	fmt.Println(n)
}
