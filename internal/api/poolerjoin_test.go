package api

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/pgherd/pgherd/internal/pki"
)

func TestPoolerJoin(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	token := func() string {
		var a TokenAnswer
		if err := f.local().call(ctx, http.MethodPost, "/v1/tokens", TokenRequest{Pooler: true}, &a); err != nil {
			t.Fatal(err)
		}
		return a.Token
	}
	key, csr, err := pki.NewKeyAndCSR("x", nil)
	if err != nil {
		t.Fatal(err)
	}
	join := func(token, name, address string) (text map[string]any, err error) {
		return text, f.remote(nil).call(ctx, http.MethodPost, "/v1/poolers/join", PoolerJoinRequest{token, name, address, string(csr)}, &text)
	}
	good := token()
	for what, c := range map[string]struct{ token, name, address, code string }{
		"a member's token":           {f.token(false), "app1", "10.0.0.9", "token_unknown"},
		"a member's name":            {good, "n1", "10.0.0.9", "name_taken"},
		"a member's name as address": {good, "app1", "N2.", "address_taken"},
		"no name":                    {good, "", "10.0.0.9", "name_invalid"},
	} {
		if _, err := join(c.token, c.name, c.address); codeOf(err) != c.code {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := f.remote(nil).Join(ctx, f.joiner("n4", good)); codeOf(err) != "token_unknown" {
		t.Errorf("a member joins with it: %v", err)
	}
	a, err := join(good, "app1", "10.0.0.9")
	if err != nil {
		t.Fatal(err)
	}
	for field, value := range a {
		if text, ok := value.(string); ok && strings.Contains(text, "PRIVATE KEY") {
			t.Errorf("it is given a key in %s", field)
		}
	}
	var v map[string]any
	cert, _ := a["cert"].(string)
	if err := f.remote(keyPair(t, []byte(cert), key, nil)).call(ctx, http.MethodGet, PoolerStatePath, nil, &v); err != nil {
		t.Errorf("it may not ask: %v", err)
	}
	if _, err := join(good, "app2", "10.0.0.9"); codeOf(err) != "token_used" {
		t.Errorf("a second time: %v", err)
	}
	if _, err := f.remote(nil).Join(ctx, f.joiner("app1", f.token(false))); codeOf(err) != "name_taken" {
		t.Errorf("a member of its name: %v", err)
	}
}
