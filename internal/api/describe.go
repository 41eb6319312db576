package api

import (
	_ "embed"
	"net/http"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/patroni"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/rebuild"
	"github.com/pgherd/pgherd/internal/whatif"
)

// OpenAPIPath is where every member serves the description of this API, to anybody: it holds nothing of the cluster.
const OpenAPIPath = "/v1/openapi.json"

// openAPI is made from what follows, by `go test ./internal/api -update`.
//
//go:embed openapi.json
var openAPI []byte

func getOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPI) // the caller is gone
}

// described is one route in words and types. In is the body, Out the answer; nil where there is none.
type described struct {
	does    string
	in, out any
	query   []parameter
	stream  bool  // server-sent events: Out is the data of each
	also    []any // or one of these
}

type parameter struct {
	name, means string
	required    bool
}

// description: every route that people and their programs may use, and what members ask of each other. A test holds it against
// the handlers, and its answers against the types.
var description = map[string]described{
	"GET /v1/status":    {does: "The cluster: members, their state, conditions with what to do, operation, endpoints", out: ClusterStatus{}},
	"GET /v1/endpoints": {does: "Where the database is to be reached", out: Endpoints{}},
	"GET /v1/explain":   {does: "Each member's last decision with its reasons", out: []Explanation{}, query: []parameter{{"member", "only this one's", false}}},
	"GET /v1/whatif": {does: "What would happen if something failed now", out: []whatif.Answer{},
		query: []parameter{{"fault", "MEMBER=down, MEMBER=postgres, MEMBER=cut, A-B=cut, store=down, several with commas, or each", true}}},
	"GET /v1/events": {does: "What happened, oldest first", out: Events{},
		query: []parameter{{"limit", "how many, at most 2000", false}, {"local", "1: only of the member that is asked", false}}},
	"GET " + WatchPath: {does: "The endpoints' answer, again whenever it changes; Last-Event-ID goes on where a stream ended", out: Endpoints{}, stream: true,
		query: []parameter{{"fresh", "1: the first event waits until every member was asked after this request, or is silent", false}}},

	"GET " + LivePath: {does: "For people who look: `status` (ClusterStatus) with each tick, `event` (JournalEvent) as it is written down, `decision` (Decided) whenever a member decides something else",
		out: ClusterStatus{}, stream: true, also: []any{journal.Event{}, Decided{}},
		query: []parameter{{"local", "1: only this member's events", false}, {"decisions", "1: with local, this member's decisions too", false}}},

	"POST /v1/operations":              {does: "Begin a switchover, restart or failover; its id is followed in operations/current and in the events", in: OperationRequest{}, out: core.Operation{}},
	"GET /v1/operations/current":       {does: "The operation that is under way, or was last", out: core.Operation{}},
	"GET /v1/operations/{id}":          {does: "What became of a change: its id is in the answer to it, and in that answer's Location", out: Outcome{}},
	"DELETE /v1/operations/current":    {does: "Take back what is planned", out: Accepted{}},
	"PUT /v1/members/{name}/drain":     {does: "Take a member out of service; the body may be left out", in: DrainRequest{}, out: Accepted{}},
	"DELETE /v1/members/{name}/drain":  {does: "Put it back", out: Accepted{}},
	"POST /v1/members/{name}/requests": {does: "Ask one member to restart PostgreSQL or to clone its data anew", in: MemberRequest{}, out: Accepted{}},
	"POST /v1/pause":                   {does: "Switch the autopilot off", out: Accepted{}},
	"DELETE /v1/pause":                 {does: "Switch it on again", out: Accepted{}},

	"GET /v1/spec":                         {does: "What is wanted of the cluster", out: SpecDocument{}},
	"PUT /v1/spec":                         {does: "Change it", in: SpecChange{}, out: SpecResult{}, query: []parameter{{"dry_run", "1: only check, and show the effects", false}}},
	"DELETE /v1/members/{name}":            {does: "Remove a member for good", out: Accepted{}},
	"GET /v1/forks":                        {does: "What members had that the cluster's history has not", out: Forks{}, query: []parameter{{"member", "only this one's", false}}},
	"GET /v1/members/{name}/forks/{id}":    {does: "One of them, with its transactions and relations", out: ForkDetail{}},
	"DELETE /v1/members/{name}/forks/{id}": {does: "Delete it for good", out: Accepted{}},

	"GET " + AccessPath + "/self":    {does: "Who asks, and what it may do", out: Self{}},
	"POST " + AccessPath:             {does: "Make an access token", in: AccessRequest{}, out: AccessAnswer{}},
	"GET " + AccessPath:              {does: "The access tokens that are good now, without their secrets", out: []Access{}},
	"DELETE " + AccessPath + "/{id}": {does: "Revoke one", out: Accepted{}},
	"POST /v1/tokens":                {does: "Make a join token", in: TokenRequest{}, out: TokenAnswer{}},
	"POST /v1/viewers":               {does: "Make a viewer's certificate", in: ViewerRequest{}, out: ViewerAnswer{}},
	"POST " + JoinPath:               {does: "Become a member, by a join token", in: JoinRequest{}, out: JoinAnswer{}},
	"POST " + PoolerJoinPath:         {does: "Become a host that only pools, by a token for that", in: PoolerJoinRequest{}, out: PoolerJoinAnswer{}},
	"PUT /v1/poolers/{name}":         {does: "Take a host in again whose registration a rebuilt store has lost", in: PoolerAdmission{}, out: Accepted{}},
	"DELETE /v1/poolers/{name}":      {does: "Remove a host that only pools, for good", out: Accepted{}},

	"GET " + LogPath: {does: "The level of this member's log", out: LogLevel{}},
	"PUT " + LogPath: {does: "Change it, until the agent ends: debug, info, warn or error", in: LogLevel{}, out: LogLevel{}},

	"GET " + NodePath:    {does: "Patroni's document of this member; the health answers carry it for viewers", out: patroni.Node{}},
	"GET " + ClusterPath: {does: "Patroni's document of the cluster", out: patroni.Cluster{}},
	"GET " + HistoryPath: {does: "Patroni's list of the timelines that were left: number, position in bytes, reason, and where it is known when the next began and on which member", out: [][]any{}},

	"GET /v1/member":       {does: "What a member says of itself to the others", out: peer.Status{}},
	"POST /v1/vouch":       {does: "A primary that has lost the store asks for the others' word", in: core.Vouch{}, out: Accepted{}},
	"GET " + RecoveryPath:  {does: "What a member could rebuild a lost store with", out: rebuild.Answer{}},
	"POST " + RecoveryPath: {does: "Judge a lost store, or rebuild it", in: rebuild.Question{}, out: rebuild.Verdict{}},
	"POST " + RetirePath:   {does: "A member is asked to leave its share of a store that was given up", in: RetireRequest{}, out: Accepted{}},

	"GET " + PoolerStatePath:     {does: "What the endpoints of a host that only pools go by", out: core.StoreView{}},
	"PUT " + PoolerRecordPath:    {does: "Such a host says how its endpoints are", in: PoolerChange{}, out: PoolerWritten{}},
	"DELETE " + PoolerRecordPath: {does: "It runs no endpoints for now", out: Accepted{}, query: []parameter{{"expect", "the record's revision", true}}},
	"POST " + PoolerRenewPath:    {does: "Its certificate anew", in: PoolerRenewRequest{}, out: PoolerRenewed{}},
	"GET " + PoolerWatchPath:     {does: "Says, and no more, that the state has changed", out: "", stream: true},
}
