package bolt_test

import "testing"

func FuzzStore(f *testing.F) { suite.Fuzz(f) }
