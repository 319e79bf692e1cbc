package session

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecretsAreComparedInConstantTime looks at the type of whatever this package
// compares. The hash of a secret may be an argument of crypto/subtle and crypto/hmac, and
// must not stand beside ==, in a switch, as a map's key or in another function that
// compares.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	var sources []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, source)
	}
	info := &types.Info{Types: make(map[ast.Expr]types.TypeAndValue)}
	config := types.Config{Importer: unknown{}, Error: func(error) {}}
	pkg, _ := config.Check("session", files, sources, info) // of what it imports nothing is known
	hash := pkg.Scope().Lookup("digest").Type()

	inConstantTime := 0
	for _, source := range sources {
		ast.Inspect(source, func(n ast.Node) bool {
			for _, compared := range comparedBy(n) {
				if holds(typeOf(info, compared), hash) {
					t.Errorf("%v: a secret is compared", files.Position(compared.Pos()))
				}
			}
			if call, ok := n.(*ast.CallExpr); ok && called(call) == "subtle.ConstantTimeCompare" && holds(typeOf(info, call.Args[0]), hash) {
				inConstantTime++
			}
			return true
		})
	}
	if inConstantTime == 0 {
		t.Error("no secret is compared in constant time")
	}
}

// unknown imports packages that have nothing in them.
type unknown struct{}

func (unknown) Import(name string) (*types.Package, error) {
	pkg := types.NewPackage(name, path.Base(name))
	pkg.MarkComplete()
	return pkg, nil
}

// typeOf is the type of an expression, or of what it is a slice of.
func typeOf(info *types.Info, e ast.Expr) types.Type {
	slice, ok := e.(*ast.SliceExpr)
	if !ok {
		return info.TypeOf(e)
	}
	t := info.TypeOf(slice.X)
	if p, ok := t.(*types.Pointer); ok {
		return p.Elem()
	}
	return t
}

// holds reports whether a value of type t has a hash in it.
func holds(t, hash types.Type) bool {
	if t == nil || types.Identical(t, hash) {
		return t != nil
	}
	switch t := t.Underlying().(type) {
	case *types.Struct:
		for f := range t.Fields() {
			if holds(f.Type(), hash) {
				return true
			}
		}
	case *types.Array:
		return holds(t.Elem(), hash)
	}
	return false
}

// comparedBy are the expressions that a node compares with something.
func comparedBy(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if n.Op == token.EQL || n.Op == token.NEQ {
			return []ast.Expr{n.X, n.Y}
		}
	case *ast.SwitchStmt:
		if n.Tag != nil {
			return []ast.Expr{n.Tag}
		}
	case *ast.MapType:
		return []ast.Expr{n.Key}
	case *ast.CallExpr:
		switch name := called(n); {
		case strings.HasPrefix(name, "subtle."), strings.HasPrefix(name, "hmac."):
		case strings.Contains(name, "Equal"), strings.Contains(name, "Compare"), strings.Contains(name, "Index"), strings.Contains(name, "Contains"):
			return n.Args
		}
	}
	return nil
}

// called is the name of a function with that of its package.
func called(call *ast.CallExpr) string {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	pkg, ok := f.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return pkg.Name + "." + f.Sel.Name
}
