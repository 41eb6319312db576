// Command bill writes the container image's bill of materials (CycloneDX 1.6, as that of the packages is): each Debian package of
// the image's root, and each Go module in the binary above it.
//
// Usage: bill -root DIR -binary FILE -version 1.2.3 -date 2026-11-28T00:00:00Z
//
// It reads what dpkg has written down in the root, and runs nothing of it: the root may be of another machine. The same
// root, binary, version and date give the same bytes.
package main

import (
	"bufio"
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

type bill struct {
	Schema      string      `json:"$schema"`
	Format      string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Version     int         `json:"version"`
	Metadata    metadata    `json:"metadata"`
	Components  []component `json:"components"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Ref     string `json:"bom-ref"`
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl,omitempty"`
}

func main() {
	root := flag.String("root", "", "the image's root")
	binary := flag.String("binary", "", "the pgherd above it")
	version := flag.String("version", "", "of the image")
	date := flag.String("date", "", "of the commit, RFC 3339")
	flag.Parse()
	b, err := compose(*root, *binary, *version, *date)
	if err == nil {
		out := json.NewEncoder(os.Stdout)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		err = out.Encode(b)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func compose(root, binary, version, date string) (bill, error) {
	b := bill{"http://cyclonedx.org/schema/bom-1.6.schema.json", "CycloneDX", "1.6", 1, metadata{date, component{"image", "container", "pgherd", version, ""}}, nil}
	debs, err := debian(root)
	if err != nil {
		return b, err
	}
	modules, err := inBinary(binary)
	b.Components = append(debs, modules...)
	return b, err
}

// debian gives the packages that are installed in the root.
func debian(root string) ([]component, error) {
	system, err := fields(filepath.Join(root, "etc/os-release"), "=")
	if err != nil {
		return nil, err
	}
	release := "debian-" + strings.Trim(system[0]["VERSION_ID"], `"`)
	packages, err := fields(filepath.Join(root, "var/lib/dpkg/status"), ":")
	if err != nil {
		return nil, err
	}
	var list []component
	for _, p := range packages {
		if p["Status"] != "install ok installed" && p["Status"] != "hold ok installed" {
			continue // it left its configuration, or nothing
		}
		// A plus means a space to some who read such an address.
		purl := "pkg:deb/debian/" + strings.ReplaceAll(p["Package"]+"@"+p["Version"], "+", "%2B") + "?arch=" + p["Architecture"] + "&distro=" + release
		if source, _, _ := strings.Cut(p["Source"], " "); source != "" { // Debian tells of vulnerabilities by sources
			purl += "&upstream=" + strings.ReplaceAll(source, "+", "%2B")
		}
		list = append(list, component{purl, "library", p["Package"], p["Version"], purl})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no package is installed in %s", root)
	}
	slices.SortFunc(list, func(a, b component) int { return cmp.Compare(a.Ref, b.Ref) })
	return list, nil
}

// fields reads paragraphs of lines "NAME: value"; what is indented goes on with a value that nobody here asks for.
func fields(path, between string) (list []map[string]string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	one := map[string]string{}
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadString('\n')
		if err != nil && err != io.EOF {
			return nil, err
		}
		name, value, ok := strings.Cut(line, between)
		if ok && !strings.HasPrefix(line, " ") {
			one[name] = strings.TrimSpace(value)
		}
		if (strings.TrimSpace(line) == "" || err == io.EOF) && len(one) > 0 {
			list, one = append(list, one), map[string]string{}
		}
		if err == io.EOF {
			break
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return list, nil
}

// inBinary gives the modules that Go says it has linked, and Go's own library.
func inBinary(path string) ([]component, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, err
	}
	module := func(name, version string) component {
		purl := "pkg:golang/" + name + "@" + strings.ReplaceAll(version, "+", "%2B")
		return component{purl, "library", name, version, purl}
	}
	list := []component{module("std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		list = append(list, module(d.Path, d.Version))
	}
	return list, nil
}
