// Pack turns a checkout into a module proxy that has each of its modules in one
// version, as if that had been tagged:
//
//	go run .ci/pack/main.go DIRECTORY VERSION
//
// The files in it are the ones that git knows or would add. The go command checks
// them when it downloads them.
package main

import (
	"archive/zip"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

const module = "github.com/tokensession/tokensession"

func main() {
	log.SetFlags(0)
	log.SetPrefix("pack: ")
	if len(os.Args) != 3 {
		log.Fatal("it takes a directory and a version")
	}
	proxy, version := os.Args[1], os.Args[2]
	files, err := checkout()
	if err != nil {
		log.Fatal(err)
	}
	for dir, list := range byModule(files) {
		if err := pack(proxy, version, dir, list); err != nil {
			log.Fatal(err)
		}
	}
}

// checkout returns the files that are there and not ignored.
func checkout() ([]string, error) {
	out, err := exec.Command("git", "ls-files", "-z", "-co", "--exclude-standard").Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	var files []string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if _, err := os.Stat(name); err == nil { // else it was deleted and not committed
			files = append(files, name)
		}
	}
	return files, nil
}

// byModule gives each file to the innermost directory around it that is a module.
func byModule(files []string) map[string][]string {
	modules := map[string][]string{}
	for _, name := range files {
		if path.Base(name) == "go.mod" {
			modules[path.Dir(name)] = nil
		}
	}
	for _, name := range files {
		dir := path.Dir(name)
		for _, ok := modules[dir]; !ok && dir != "."; _, ok = modules[dir] {
			dir = path.Dir(dir)
		}
		modules[dir] = append(modules[dir], name)
	}
	return modules
}

// pack writes what "go help goproxy" asks for: a list of versions, and of each one
// its time, its go.mod and its files.
func pack(proxy, version, dir string, files []string) error {
	name := path.Join(module, dir)
	at := filepath.Join(proxy, filepath.FromSlash(name), "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return err
	}
	for file, text := range map[string]string{
		"list":            version + "\n",
		version + ".info": fmt.Sprintf(`{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version),
		version + ".mod":  string(mod),
	} {
		if err := os.WriteFile(filepath.Join(at, file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return zipFiles(filepath.Join(at, version+".zip"), name+"@"+version, dir, files)
}

func zipFiles(target, prefix, dir string, files []string) error {
	out, err := os.Create(target)
	if err != nil {
		return err
	}
	defer out.Close()
	z := zip.NewWriter(out)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		within := name
		if dir != "." {
			within = strings.TrimPrefix(name, dir+"/")
		}
		w, err := z.Create(prefix + "/" + within)
		if err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return z.Close()
}
