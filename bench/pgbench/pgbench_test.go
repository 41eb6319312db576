package pgbench

import "testing"

func TestParse(t *testing.T) {
	r := parse(`pgbench (15.15)
transaction type: <builtin: simple update>
number of transactions actually processed: 4711
number of failed transactions: 3 (0.064%)
latency average = 12.345 ms
initial connection time = 80.1 ms
tps = 1296.078 (without initial connection time)
`)
	if r.TPS != 1296.078 || r.LatencyMS != 12.345 || r.Failed != 3 {
		t.Errorf("%+v", r)
	}
	if r := parse("pgbench: error: could not connect"); r.TPS != 0 {
		t.Errorf("%+v", r)
	}
}
