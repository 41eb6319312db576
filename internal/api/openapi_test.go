package api

import (
	"bytes"
	"context"
	"encoding"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/openapi3gen"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/health"
	"github.com/pgherd/pgherd/internal/store/records"
	"github.com/pgherd/pgherd/internal/ui"
)

var update = flag.Bool("update", false, "write openapi.json anew")

// openapi.json is what the types and the table of routes give, and a valid document.
func TestOpenAPIIsWhatTheTypesAre(t *testing.T) {
	doc := document(t)
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	if err := e.Encode(doc); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.json", want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want.Bytes(), openAPI) {
		t.Error("openapi.json is not what types and routes give now: go test ./internal/api -run OpenAPI -update, and read its diff: it is a promise to programs")
	}
}

// Every route has its description, and every description its route. Load balancers' paths, metrics and the dashboard are
// described in docs: they are others' conventions, and no JSON of ours.
func TestOpenAPIDescribesEveryRoute(t *testing.T) {
	there := newFixture(t).s.router().patterns
	for pattern := range description {
		if !slices.Contains(there, pattern) {
			t.Errorf("%s is described, and there is no such route", pattern)
		}
	}
	others := append(health.Paths(), MetricsPath, ui.Path, OpenAPIPath)
	for _, pattern := range there {
		_, path, method := strings.Cut(pattern, " ")
		if _, ok := description[pattern]; !ok && method && !slices.Contains(others, strings.TrimSuffix(path, "{$}")) {
			t.Errorf("%s is not described", pattern)
		}
	}
}

// What is really answered fits its description.
func TestOpenAPIAnswersFit(t *testing.T) {
	f := newFixture(t)
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	c := f.local()
	for _, q := range []struct{ method, path, body string }{
		{"GET", "/v1/status", ""}, {"GET", "/v1/endpoints", ""}, {"GET", "/v1/explain", ""}, {"GET", "/v1/explain?member=n2", ""}, {"GET", "/v1/whatif?fault=each", ""},
		{"GET", "/v1/events?limit=5", ""}, {"GET", "/v1/spec", ""}, {"GET", "/v1/forks", ""}, {"GET", "/v1/access/self", ""}, {"GET", "/v1/access", ""}, {"GET", "/v1/member", ""},
		{"POST", "/v1/pause", ""}, {"DELETE", "/v1/pause", ""}, {"PUT", "/v1/members/n3/drain", ""}, {"DELETE", "/v1/members/n3/drain", ""},
		{"POST", "/v1/members/n2/requests", `{"kind":"restart"}`}, {"POST", "/v1/tokens", `{"lifetime":"1h"}`}, {"POST", "/v1/access", `{"name":"ada","role":"viewer","lifetime":"1h"}`},
		{"POST", "/v1/operations", `{"kind":"` + core.OpSwitchover + `","at":"` + time.Now().Add(time.Hour).Format(time.RFC3339) + `"}`}, {"GET", "/v1/operations/current", ""}, {"GET", "/v1/operations/@", ""}, {"DELETE", "/v1/operations/current", ""},
		{"DELETE", "/v1/members/n1", ""}, {"POST", "/v1/operations", `{"kind":"dance"}`}, {"GET", "/v1/whatif?fault=n9=down", ""}, // refused: a problem
	} {
		var newest core.Operation
		f.get(records.KeyOperation, &newest)
		r, err := http.NewRequest(q.method, "http://pgherd"+strings.ReplaceAll(q.path, "@", newest.ID), strings.NewReader(q.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := c.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		route, params, err := router.FindRoute(r)
		if err != nil {
			t.Errorf("%s %s: %v", q.method, q.path, err)
			continue
		}
		in := &openapi3filter.ResponseValidationInput{RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
			Status: answer.StatusCode, Header: answer.Header, Body: io.NopCloser(bytes.NewReader(body))}
		if err := openapi3filter.ValidateResponse(context.Background(), in); err != nil {
			t.Errorf("%s %s: %d %s: %v", q.method, q.path, answer.StatusCode, body, err)
		}
	}
}

// document builds the description from the table of routes and the Go types.
func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc := &openapi3.T{OpenAPI: "3.0.3", Paths: openapi3.NewPaths(), Info: &openapi3.Info{Title: "pgherd", Version: "v1",
		Description: "Every member serves the same API over TLS at port 7432, and over a unix socket to local administrators. Fields are added, never renamed. " +
			"Mutations are intents: the answer says that they were written, and operations, events and status say what came of them."},
		Components: &openapi3.Components{Schemas: openapi3.Schemas{}, SecuritySchemes: openapi3.SecuritySchemes{
			// OpenAPI 3.0 has no word for the certificates that do as well.
			"token": {Value: &openapi3.SecurityScheme{Type: "http", Scheme: "bearer", Description: "`pgherd access create`; a member's or a viewer's certificate will do, too"}},
		}}}
	g := openapi3gen.NewGenerator(openapi3gen.SchemaCustomizer(customize), openapi3gen.UseAllExportedFields())
	refer := func(v any) *openapi3.SchemaRef { return named(t, g, doc.Components.Schemas, reflect.TypeOf(v)) }
	problem := openapi3.NewResponse().WithDescription("refused or failed: RFC 9457, with a stable code and a hint").
		WithContent(openapi3.NewContentWithSchemaRef(refer(Problem{}), []string{"application/problem+json"}))
	patterns := make([]string, 0, len(description))
	for pattern := range description {
		patterns = append(patterns, pattern)
	}
	slices.Sort(patterns)
	for _, pattern := range patterns {
		method, at, _ := strings.Cut(pattern, " ")
		doc.AddOperation(at, method, operation(pattern, description[pattern], refer, problem))
	}
	return doc
}

// named puts the type of a body or an answer among the components, so that generated clients have names for them.
func named(t *testing.T, g *openapi3gen.Generator, known openapi3.Schemas, of reflect.Type) *openapi3.SchemaRef {
	t.Helper()
	if of.Kind() == reflect.Interface { // anything
		return openapi3.NewSchema().NewRef()
	}
	if of.Kind() == reflect.Slice {
		list := openapi3.NewArraySchema()
		list.Items = named(t, g, known, of.Elem())
		return list.NewRef()
	}
	name := of.Name()
	if pkg := path.Base(of.PkgPath()); pkg != "api" {
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	if known[name] == nil {
		schema, err := g.NewSchemaRefForValue(reflect.Zero(of).Interface(), nil)
		if err != nil {
			t.Fatal(err)
		}
		known[name] = schema
	}
	return openapi3.NewSchemaRef("#/components/schemas/"+name, known[name].Value)
}

func operation(pattern string, d described, refer func(any) *openapi3.SchemaRef, problem *openapi3.Response) *openapi3.Operation {
	op := openapi3.NewOperation()
	op.Summary = d.does
	op.Extensions = map[string]any{"x-role": string(roleFor(pattern))}
	op.Security = openapi3.NewSecurityRequirements().With(openapi3.NewSecurityRequirement().Authenticate("token"))
	if whoMay[pattern] == forAll {
		op.Security, op.Extensions = openapi3.NewSecurityRequirements(), nil
	}
	if whoMay[pattern] == forPoolers {
		op.Security, op.Extensions = openapi3.NewSecurityRequirements(), map[string]any{"x-role": "pooler"}
	}
	for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(pattern, -1) {
		op.AddParameter(openapi3.NewPathParameter(m[1]).WithSchema(openapi3.NewStringSchema()))
	}
	for _, p := range d.query {
		op.AddParameter(openapi3.NewQueryParameter(p.name).WithDescription(p.means).WithRequired(p.required).WithSchema(openapi3.NewStringSchema()))
	}
	if d.in != nil {
		op.RequestBody = &openapi3.RequestBodyRef{Value: openapi3.NewRequestBody().WithRequired(true).WithJSONSchemaRef(refer(d.in))}
	}
	kind := "application/json"
	if d.stream {
		kind = "text/event-stream"
	}
	out := refer(d.out)
	if len(d.also) > 0 {
		one := openapi3.NewOneOfSchema()
		one.OneOf = append(one.OneOf, out)
		for _, v := range d.also {
			one.OneOf = append(one.OneOf, refer(v))
		}
		out = one.NewRef()
	}
	done := openapi3.NewResponse().WithDescription("done").WithContent(openapi3.NewContentWithSchemaRef(out, []string{kind}))
	if isChange(pattern) && roleFor(pattern) != roleMember {
		location := &openapi3.Header{Parameter: openapi3.Parameter{Description: "where its outcome is: " + OutcomePath + "{id}", Schema: openapi3.NewStringSchema().NewRef()}}
		done.Headers = openapi3.Headers{"Location": &openapi3.HeaderRef{Value: location}}
	}
	op.AddResponse(http.StatusOK, done)
	op.Responses.Set("default", &openapi3.ResponseRef{Value: problem})
	return op
}

var textual = reflect.TypeFor[encoding.TextMarshaler]()

// customize says what reflection does not: what is written as text, what is always there, and what may be null.
func customize(_ string, t reflect.Type, _ reflect.StructTag, s *openapi3.Schema) error {
	if t.Implements(textual) || reflect.PointerTo(t).Implements(textual) {
		if t.String() != "time.Time" {
			*s = openapi3.Schema{Type: &openapi3.Types{"string"}}
		}
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		s.Nullable = true
	case reflect.Struct:
		s.Required = required(t)
	}
	return nil
}

func required(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, rest, _ := strings.Cut(tag, ",")
		switch {
		case f.Anonymous && name == "":
			names = append(names, required(f.Type)...)
		case f.IsExported() && name != "-" && name != "" && !strings.Contains(rest, "omit"):
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
