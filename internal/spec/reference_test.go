package spec

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const referencePage = "../../docs/configuration.md"

// TestReferenceIsWhatTheTypesSay holds the tables of docs/configuration.md against the types, their defaults, their
// checks and Diff. Only what a key is for is written by people.
func TestReferenceIsWhatTheTypesSay(t *testing.T) {
	now, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	want := string(now)
	for _, table := range []struct {
		name string
		make func() (string, error)
	}{{"pgherd.yaml", memberTable}, {"pooler.yaml", poolerHostTable}, {"the cluster's spec", clusterTable}} {
		text, err := table.make()
		if err != nil {
			t.Errorf("%s: %v", table.name, err)
			continue
		}
		if want, err = inPlace(want, table.name, text); err != nil {
			t.Error(err)
		}
	}
	if t.Failed() || want == string(now) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the types say: go test ./internal/spec -run Reference -update", referencePage)
	}
	if err := os.WriteFile(referencePage, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// inPlace puts a table between its two marks.
func inPlace(page, name, table string) (string, error) {
	begin, end := "<!-- generated: "+name+", by go test ./internal/spec -run Reference -update -->\n", "<!-- end -->\n"
	above, rest, ok := strings.Cut(page, begin)
	_, below, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return page, fmt.Errorf("the page has no place for the table of %s:\n%s%s", name, begin, end)
	}
	return above + begin + "\n" + table + "\n" + end + below, nil
}

// leaf is a key that takes a value.
type leaf struct {
	path string
	t    reflect.Type
}

// leaves lists the keys of a type in the order of its fields. A list of sections is one itself, and its sections' keys
// follow it.
func leaves(t reflect.Type, at string) (all []leaf) {
	for i, key := range keysOf(t) {
		field, below := t.Field(i).Type, join(at, key)
		list := field.Kind() == reflect.Slice && field.Elem().Kind() == reflect.Struct
		switch {
		case list:
			all = append(append(all, leaf{below, field}), leaves(field.Elem(), below+"[]")...)
		case field.Kind() == reflect.Struct:
			all = append(all, leaves(field, below)...)
		default:
			all = append(all, leaf{below, field})
		}
	}
	return all
}

// first is the path as the checks name it.
func (l leaf) first() string { return strings.ReplaceAll(l.path, "[]", "[0]") }

func (l leaf) in(v reflect.Value) reflect.Value {
	for part := range strings.SplitSeq(l.path, ".") {
		key, list := strings.CutSuffix(part, "[]")
		if v, _ = fieldOf(v, key); list {
			v = v.Index(0)
		}
	}
	return v
}

// with is a fresh document with one key set.
func with[T any](fresh func() T, l leaf, value reflect.Value) T {
	v := fresh()
	l.in(reflect.ValueOf(&v).Elem()).Set(value.Convert(l.t))
	return v
}

// complaints are about this key.
func complaints(l leaf, err error) (about []*Error) {
	var all Errors
	errors.As(err, &all)
	for _, e := range all {
		if covers(l.first(), e.Key) {
			about = append(about, e)
		}
	}
	return about
}

type checked interface{ Validate() error }

var (
	wanted  = regexp.MustCompile(`(?:^|: )want ([^:]+)`)
	neither = regexp.MustCompile(`neither (.+) nor (.+)`)
	place   = regexp.MustCompile(`^write ((?:https://)?HOST:PORT)`)
)

// values asks the checks what they want, by values that none of them takes.
func values[T checked](fresh func() T, l leaf) string {
	list := ""
	var bad []reflect.Value
	switch {
	case l.t == reflect.TypeFor[Duration](), l.t.Kind() == reflect.Int, l.t.Kind() == reflect.Int64:
		bad = append(bad, reflect.ValueOf(-1<<30))
	case l.t.Kind() == reflect.String:
		bad = append(bad, reflect.ValueOf("?"), reflect.ValueOf("\x01"))
	case l.t == reflect.TypeFor[[]string]():
		list, bad = "list of ", append(bad, reflect.ValueOf([]string{"?"}))
	}
	for _, value := range bad {
		for _, e := range complaints(l, with(fresh, l, value).Validate()) {
			if m := wanted.FindStringSubmatch(e.Text); m != nil {
				return list + m[1]
			}
			if m := neither.FindStringSubmatch(e.Text); m != nil {
				text := m[1] + " or " + m[2]
				if len(complaints(l, with(fresh, l, reflect.ValueOf("10.0.0.1,n1")).Validate())) == 0 {
					text += ", several with commas"
				}
				return text
			}
			if m := place.FindStringSubmatch(e.Hint); m != nil {
				return list + m[1]
			}
			if strings.HasPrefix(e.Hint, "write the whole path") {
				return "path from /"
			}
		}
	}
	return kind(l.t)
}

func kind(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Duration]():
		return "duration"
	case t == reflect.TypeFor[[]string]():
		return "list"
	case t.Kind() == reflect.Slice:
		return "list of rules"
	}
	return map[reflect.Kind]string{
		reflect.Bool: "true or false", reflect.Int: "whole number", reflect.Int64: "whole number", reflect.String: "text", reflect.Map: "names with values",
	}[t.Kind()]
}

// shown is a value as it is written in YAML; nothing for what is as good as not written.
func shown(l leaf, v reflect.Value) string {
	code := func(text string) string { return "`" + text + "`" }
	switch value := v.Interface().(type) {
	case Duration:
		if value == 0 {
			return ""
		}
		return code(shortDuration(value.D()))
	case int64:
		return code(strconv.FormatInt(value, 10)) + size(value)
	case []string:
		if len(value) == 0 {
			return ""
		}
		return code(quotedList(value))
	case []HBARule:
		return code(hbaText(value))
	case map[string]string:
		var all []string
		for _, name := range slices.Sorted(maps.Keys(value)) {
			all = append(all, code(name+": "+value[name]))
		}
		return strings.Join(all, ", ")
	}
	if text := fmt.Sprint(v.Interface()); text != "" {
		return code(strings.ReplaceAll(text, "/STATE_DIR", "STATE_DIR"))
	}
	return ""
}

// shortDuration leaves out the zeros at the end: 720h, not 720h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// size reads what only bytes are big enough for.
func size(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf(" (%d GiB)", n>>30)
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf(" (%d MiB)", n>>20)
	}
	return ""
}

// file is a document that stands on a host: the least of it, and keys that change others' defaults.
type file[T checked] struct {
	parse func([]byte, string) (T, error)
	least []string
	also  []struct{ key, line string }
}

func (f file[T]) read(lines ...string) (T, error) {
	v, err := f.parse([]byte(strings.Join(lines, "\n")), "")
	log, _ := fieldOf(reflect.ValueOf(&v).Elem(), "log") // filled in where it is used
	log.Set(reflect.ValueOf(log.Interface().(Log).WithDefaults()))
	return v, err
}

func (f file[T]) must(lines ...string) T {
	v, err := f.read(append(slices.Clone(f.least), lines...)...)
	if err != nil {
		panic(err)
	}
	return v
}

// def is a key's default as the parser fills it in.
func (f file[T]) def(l leaf, unset string) string {
	for i, line := range f.least {
		if strings.HasPrefix(line, l.path+":") {
			if _, err := f.read(slices.Delete(slices.Clone(f.least), i, i+1)...); len(complaints(l, err)) > 0 {
				return "required"
			}
		}
	}
	value := func(v T) string { return shown(l, l.in(reflect.ValueOf(&v).Elem())) }
	usual := value(f.must())
	text := usual
	if text == "" {
		text = unset
	}
	if text == "" {
		text = "none"
	}
	for _, also := range f.also {
		if other := value(f.must(also.line)); other != usual && also.key != l.path {
			text += "; with `" + also.key + "` " + other
		}
	}
	return text
}

var memberFile = file[Member]{ParseMember, []string{"name: n1", "address: ADDRESS", "state_dir: /STATE_DIR"},
	[]struct{ key, line string }{{"store.endpoints", "store: {endpoints: ['https://etcd:2379']}"}, {"vip.interface", "vip: {interface: eth0}"}}}

var poolerHostFile = file[PoolerHost]{ParsePoolerHost, []string{"name: n1", "address: ADDRESS", "state_dir: /STATE_DIR"}, nil}

func memberTable() (string, error)     { return fileTable(memberFile, memberSays) }
func poolerHostTable() (string, error) { return fileTable(poolerHostFile, poolerHostSays) }

func fileTable[T checked](f file[T], texts map[string]says) (string, error) {
	fresh := func() T {
		var lines []string
		for _, also := range f.also { // some keys are only looked at with them
			lines = append(lines, also.line)
		}
		return f.must(lines...)
	}
	all := leaves(reflect.TypeFor[T](), "")
	rows := [][]string{{"key", "values", "default", "meaning"}}
	for _, l := range all {
		rows = append(rows, []string{"`" + l.path + "`", values(fresh, l), f.def(l, texts[l.path].unset), texts[l.path].text})
	}
	return markdown(rows), complete(all, texts, func(l leaf) bool { return f.def(l, "") == f.def(l, "x") })
}

func clusterTable() (string, error) {
	all := leaves(reflect.TypeFor[Cluster](), "")
	rows := [][]string{{"key", "values", "default", "effect", "meaning"}}
	var problems []error
	for _, l := range all {
		effect, err := effectOf(l, Diff)
		problems = append(problems, err)
		rows = append(rows, []string{"`" + l.path + "`", values(DefaultCluster, l), clusterDefault(l, clusterSays[l.path].unset), effect, clusterSays[l.path].text})
	}
	problems = append(problems, complete(all, clusterSays, func(l leaf) bool { return clusterDefault(l, "") == clusterDefault(l, "x") }))
	return markdown(rows), errors.Join(problems...)
}

func clusterDefault(l leaf, unset string) string {
	if strings.Contains(l.path, "[]") { // of a rule that is written, not of the spec
		if err := with(DefaultCluster, l, reflect.Zero(l.t)).Validate(); len(complaints(l, err)) > 0 {
			return "required"
		}
	}
	c := DefaultCluster()
	if text := shown(l, l.in(reflect.ValueOf(&c).Elem())); text != "" {
		return text
	}
	if unset != "" {
		return unset
	}
	return "none"
}

// effectOf changes one key, in a way that is valid, and asks diff, which is Diff, what it needs.
func effectOf(l leaf, diff func(old, new Cluster) []Change) (string, error) {
	if l.t.Kind() == reflect.Map {
		return parameterEffects(), nil
	}
	c := DefaultCluster()
	for _, value := range others(l, l.in(reflect.ValueOf(&c).Elem())) {
		changed := with(DefaultCluster, l, value)
		changes := diff(c, changed)
		if changed.Validate() != nil || len(changes) == 0 {
			continue
		}
		if len(changes) != 1 || !covers(changes[0].Path, l.first()) {
			return "", fmt.Errorf("%s: a change of it is told as %v", l.path, changes)
		}
		return "*" + string(changes[0].Effect) + "*", nil
	}
	return "", fmt.Errorf("%s: no change of it is told by Diff", l.path)
}

// others are values that differ; the words in which the checks say what they want are among them.
func others(l leaf, v reflect.Value) (list []reflect.Value) {
	switch {
	case l.t == reflect.TypeFor[Duration]():
		list = append(list, reflect.ValueOf(v.Int()+int64(time.Second)))
	case l.t.Kind() == reflect.Int, l.t.Kind() == reflect.Int64:
		list = append(list, reflect.ValueOf(v.Int()+1))
	case l.t.Kind() == reflect.Bool:
		list = append(list, reflect.ValueOf(!v.Bool()))
	case l.t == reflect.TypeFor[[]string]():
		list = append(list, reflect.ValueOf([]string{"other"}))
	case l.t.Kind() == reflect.Slice:
		list = append(list, reflect.Zero(l.t))
	case l.t.Kind() == reflect.String:
		for word := range strings.FieldsSeq(values(DefaultCluster, l)) {
			list = append(list, reflect.ValueOf(strings.Trim(word, ",")))
		}
	}
	return list
}

// parameterEffects are those that any known parameter has.
func parameterEffects() string {
	found := map[Effect]bool{}
	for _, name := range parameterNames() {
		c := DefaultCluster()
		c.Postgres.Parameters[name] = "some other value"
		for _, change := range Diff(DefaultCluster(), c) {
			if checkParameter(name, "some other value", FromCluster) == nil {
				found[change.Effect] = true
			}
		}
	}
	var all []string
	for _, e := range []Effect{EffectNone, EffectReload, EffectRestart} {
		if found[e] {
			all = append(all, "*"+string(e)+"*")
		}
	}
	return strings.Join(all, " or ") + ", as PostgreSQL takes it up"
}

// complete: each key is explained, nothing else is, and unset is said only where the default shows nothing (shows).
func complete(all []leaf, texts map[string]says, shows func(leaf) bool) error {
	var problems []error
	known := map[string]bool{}
	for _, l := range all {
		known[l.path] = true
		switch s := texts[l.path]; {
		case s.text == "":
			problems = append(problems, fmt.Errorf("%s is not explained in reference_text_test.go", l.path))
		case strings.ContainsAny(s.text+s.unset, "|\n"):
			problems = append(problems, fmt.Errorf("%s: its text breaks the table", l.path))
		case s.unset != "" && shows(l):
			problems = append(problems, fmt.Errorf("%s has a default, and %q is said in its stead", l.path, s.unset))
		}
	}
	for path := range texts {
		if !known[path] {
			problems = append(problems, fmt.Errorf("%s is explained, and there is no such key", path))
		}
	}
	return errors.Join(problems...)
}

func markdown(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	return b.String()
}

// TestReferenceSeesWhatIsWrong: the test above would not be worth much otherwise.
func TestReferenceSeesWhatIsWrong(t *testing.T) {
	all := leaves(reflect.TypeFor[Log](), "log")
	shows := func(l leaf) bool { return l.path == "log.level" }
	good := map[string]says{"log.level": {text: "a"}, "log.format": {text: "b", unset: "c"}, "log.postgres": {text: "d"}}
	if err := complete(all, good, shows); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(map[string]says){
		"log.format is not explained":                  func(m map[string]says) { delete(m, "log.format") },
		"log.formt is explained, and there is no such": func(m map[string]says) { m["log.formt"] = says{text: "x"} },
		"log.postgres: its text breaks the table":      func(m map[string]says) { m["log.postgres"] = says{text: "one | two"} },
		`log.level has a default, and "x" is said`:     func(m map[string]says) { m["log.level"] = says{text: "a", unset: "x"} },
	} {
		texts := maps.Clone(good)
		change(texts)
		if err := complete(all, texts, shows); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := inPlace("a page without marks", "x", "table"); err == nil {
		t.Error("a page without a place for the table was taken")
	}
	for _, told := range [][]Change{nil, {{Path: "lease.renew"}}, {{Path: "lease.ttl"}, {Path: "strict"}}} {
		ttl := leaf{"lease.ttl", reflect.TypeFor[Duration]()}
		if effect, err := effectOf(ttl, func(Cluster, Cluster) []Change { return told }); err == nil {
			t.Errorf("lease.ttl changed, %v was told, and its effect is %s", told, effect)
		}
	}
}
