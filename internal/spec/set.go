package spec

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

func indexed(at string, i int) string { return at + "[" + strconv.Itoa(i) + "]" }

const parametersPath = "postgres.parameters"

// Set gives the spec with one value changed and validated: path is such as
// "lease.ttl" or "postgres.parameters.max_connections". An empty value removes a
// parameter. A list (postgres.hba) is written as YAML. The receiver does not change.
func (c Cluster) Set(path, value string) (Cluster, error) {
	c = c.clone()
	p := &problems{}
	if name, ok := strings.CutPrefix(path, parametersPath+"."); ok {
		c.setParameter(p, name, value)
	} else {
		p.set(reflect.ValueOf(&c).Elem(), path, value)
	}
	if len(p.list) == 0 {
		c.check(p)
	}
	if err := p.list.orNil(); err != nil {
		return Cluster{}, err
	}
	return c.withOrdered(), nil
}

func (c Cluster) setParameter(p *problems, name, value string) {
	if value != "" {
		c.Postgres.Parameters[name] = value
		return
	}
	if _, ok := c.Postgres.Parameters[name]; !ok {
		p.add(join(parametersPath, name), didYouMean(name, slices.Sorted(maps.Keys(c.Postgres.Parameters))), "is not set")
	}
	delete(c.Postgres.Parameters, name)
}

// set finds the field at path and reads value into it.
func (p *problems) set(v reflect.Value, path, value string) {
	at := ""
	for part := range strings.SplitSeq(path, ".") {
		below := join(at, part)
		field, ok := reflect.Value{}, false
		if v.Kind() == reflect.Struct {
			field, ok = fieldOf(v, part)
		}
		if !ok {
			p.unknown(path, path, settable(reflect.TypeFor[Cluster](), ""))
			return
		}
		v, at = field, below
	}
	switch {
	case value == "" && at != "vip.address":
		p.add(at, "", "has no value; only parameters can be removed")
	case isScalar(v):
		p.addErr(at, setScalar(v, value))
	case v.Kind() == reflect.Slice:
		if node := p.parse([]byte(value)); node != nil {
			p.value(node, at, v)
		}
	default:
		p.add(at, "set one of its keys, or use `pgherd config edit`", "is a section")
	}
}

// settable lists the paths that Set takes, but for the parameters' names.
func settable(t reflect.Type, at string) []string {
	var paths []string
	for i, key := range keysOf(t) {
		below := join(at, key)
		if field := t.Field(i).Type; field.Kind() == reflect.Struct {
			paths = append(paths, settable(field, below)...)
			continue
		}
		paths = append(paths, below)
	}
	return paths
}

// clone copies what a change would reach through.
func (c Cluster) clone() Cluster {
	parameters := maps.Clone(c.Postgres.Parameters)
	if parameters == nil {
		parameters = map[string]string{}
	}
	c.Postgres.Parameters = parameters
	c.Health = c.HealthRules() // one of them is set: the other keeps its default
	c.Postgres.HBA = slices.Clone(c.Postgres.HBA)
	c.Forks = c.Retention()
	c.Pooler = c.PoolerRules()
	return c
}
