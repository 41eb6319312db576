package metrics

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pgherd/pgherd/internal/snapshot"
)

// Metrics are one member's: a registry of its own, because libraries (etcd's) put theirs into the process's.
type Metrics struct {
	*Meters
	registry *prometheus.Registry
	log      *slog.Logger
}

// Scrapes are computed by who asks; so many at once, and each no longer than that.
const (
	scrapesMax  = 4
	scrapeLimit = 5 * time.Second
)

// New makes the metrics of a member. look is called in each scrape, from any goroutine; it must not wait for anything.
func New(cluster, member string, look func() snapshot.Snapshot, log *slog.Logger) *Metrics {
	r := prometheus.NewRegistry()
	own := prometheus.Labels{"cluster": cluster, "member": member}
	r.MustRegister(
		newCollector(look, patronis, prometheus.Labels{"scope": cluster, "name": member}),
		newCollector(look, ownFamilies, own),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return &Metrics{Meters: newMeters(maker{r, own}), registry: r, log: log}
}

// Handler answers a scrape in the format that is asked for: Prometheus' text or protocol buffers. Not OpenMetrics: it
// renames counters that do not end in _total, and Patroni's do not.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: logged{m.log}, ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapesMax, Timeout: scrapeLimit,
	})
}

type logged struct{ log *slog.Logger }

func (l logged) Println(v ...any) { l.log.Warn("metrics", "error", fmt.Sprint(v...)) }

// Catalogue lists what there is under Patroni's names and ours, sorted by name within each. The registry also has the
// usual go_ and process_ metrics of the agent's process.
func Catalogue() (theirs, ours []Family) {
	for _, f := range patronis {
		theirs = append(theirs, f.Family)
	}
	ours = slices.Clone(measured)
	for _, f := range ownFamilies {
		ours = append(ours, f.Family)
	}
	for _, list := range [][]Family{theirs, ours} {
		slices.SortFunc(list, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	}
	return theirs, ours
}
