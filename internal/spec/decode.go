package spec

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The largest sensible spec is a few kilobytes. The library's time grows with the
// square of the tokens (64 KiB of brackets took 7 s), and a stack overflow deep
// inside it could not be recovered from; the limits bound both.
const (
	documentBytesMax = 32 << 10
	bracketsMax      = 1000
)

// decode reads one YAML document into *into. Keys that are absent leave their
// values alone; parameters and lists are taken as written.
//
// The library parses; the walk from its tree to our types is ours, because its own
// decoder stops at the first problem, drops the line of every value that is
// validated later, and rewrites scalars (010, 1_000) that PostgreSQL should see as typed.
func decode(data []byte, path string, into any) *problems {
	p := &problems{path: path, lines: map[string]int{}}
	node := p.parse(data)
	if node != nil {
		p.value(node, "", reflect.ValueOf(into).Elem())
	}
	return p
}

// parse gives the document's tree, or nil when it is empty or broken.
func (p *problems) parse(data []byte) (node ast.Node) {
	if len(data) > documentBytesMax {
		p.add("", "", "the document is %d bytes, more than %d", len(data), documentBytesMax)
		return nil
	}
	if n := bytes.Count(data, []byte("[")) + bytes.Count(data, []byte("{")); n > bracketsMax {
		p.add("", "", "the document has %d brackets, more than %d", n, bracketsMax)
		return nil
	}
	// A parser of untrusted text that panics on one of its own bugs must not take the agent down.
	defer func() {
		if r := recover(); r != nil {
			p.add("", "", "this is not YAML that can be read")
			node = nil
		}
	}()
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		p.syntax(err)
		return nil
	}
	if len(file.Docs) > 1 {
		p.add("", "remove the --- line", "there is more than one document")
		return nil
	}
	if len(file.Docs) == 0 {
		return nil
	}
	return file.Docs[0].Body
}

func (p *problems) syntax(err error) {
	e := &Error{Path: p.path, Text: "this is not YAML: " + firstLine(err.Error())}
	var positioned yaml.Error
	if errors.As(err, &positioned) {
		e.Text = "this is not YAML: " + firstLine(positioned.GetMessage())
		if tok := positioned.GetToken(); tok != nil && tok.Position != nil {
			e.Line = tok.Position.Line
		}
	}
	p.list = append(p.list, e)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

func (p *problems) value(node ast.Node, at string, v reflect.Value) {
	if _, ok := node.(*ast.NullNode); ok {
		if isScalar(v) {
			p.add(at, "", "has no value")
		}
		return // an empty section is an absent one
	}
	if isScalar(v) {
		p.scalar(node, at, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		p.structure(node, at, v)
	case reflect.Map:
		p.mapping(node, at, v)
	case reflect.Slice:
		p.sequence(node, at, v)
	}
}

func isScalar(v reflect.Value) bool {
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return true
	}
	return v.Kind() != reflect.Struct && v.Kind() != reflect.Map && v.Kind() != reflect.Slice
}

// pairs lists a mapping's keys and values, noting each key's line.
func (p *problems) pairs(node ast.Node, at string, each func(key, at string, value ast.Node)) {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		p.place(node, at)
		p.add(at, "", "%swant keys with values", written(node))
		return
	}
	seen := map[string]bool{}
	for _, kv := range values {
		key, ok := scalarText(kv.Key)
		below := join(at, key)
		p.place(kv.Key, below)
		switch {
		case !ok:
			p.add(at, "anchors, aliases, merges and tags are not for this file", "a key is not plain text")
		case seen[key]:
			p.add(below, "", "is there twice")
		default:
			seen[key] = true
			each(key, below, kv.Value)
		}
	}
}

func (p *problems) structure(node ast.Node, at string, v reflect.Value) {
	p.pairs(node, at, func(key, below string, value ast.Node) {
		field, ok := fieldOf(v, key)
		if !ok {
			p.unknown(key, below, keysOf(v.Type()))
			return
		}
		p.value(value, below, field)
	})
}

func (p *problems) unknown(key, at string, known []string) {
	p.list = append(p.list, &Error{
		Path: p.path, Key: at, Line: p.line(at),
		Text: fmt.Sprintf("unknown key %q", at), Hint: didYouMean(key, known),
	})
}

func (p *problems) mapping(node ast.Node, at string, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	p.pairs(node, at, func(key, below string, value ast.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		before := len(p.list)
		p.value(value, below, element)
		if len(p.list) == before {
			v.SetMapIndex(reflect.ValueOf(key), element)
		}
	})
}

func (p *problems) sequence(node ast.Node, at string, v reflect.Value) {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		p.add(at, "", "%swant a list", written(node))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
	for i, item := range list.Values {
		below := fmt.Sprintf("%s[%d]", at, i)
		p.place(item, below)
		p.value(item, below, v.Index(i))
	}
}

func (p *problems) scalar(node ast.Node, at string, v reflect.Value) {
	text, ok := scalarText(node)
	if !ok {
		p.add(at, "", "%swant one value", written(node))
		return
	}
	p.addErr(at, setScalar(v, text))
}

// setScalar reads text as the type of v wants it.
func setScalar(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if u.UnmarshalText([]byte(text)) != nil {
			return fmt.Errorf("%q is not a duration such as 5s", text)
		}
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q: want true or false", text)
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(n)
	}
	return nil
}

// scalarText gives a scalar as it was typed (quotes and escapes resolved).
func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// written says what stands there instead, for the cases that surprise people.
func written(node ast.Node) string {
	switch node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		return "anchors, aliases, merges and tags are not for this file; "
	case *ast.SequenceNode:
		return "this is a list; "
	case *ast.MappingNode, *ast.MappingValueNode:
		return "this is a section; "
	}
	return ""
}

func (p *problems) place(node ast.Node, at string) {
	if node == nil || p.lines == nil { // a value for Set has no lines
		return
	}
	if tok := node.GetToken(); tok != nil && tok.Position != nil {
		p.lines[at] = tok.Position.Line
	}
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

// fieldOf finds the field with this YAML name.
func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	i := slices.Index(keysOf(v.Type()), key)
	if i < 0 {
		return reflect.Value{}, false
	}
	return v.Field(i), true
}

// keysOf lists the YAML names of a struct's fields, in order.
func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i], _, _ = strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
	}
	return keys
}
