package storetest

import "testing"

// Fuzz makes programs of the bytes that go test -fuzz finds, and runs each on a new store:
//
//	func FuzzStore(f *testing.F) { suite.Fuzz(f) }
//
// It begins with the programs of testdata/storetest/*.txt, as near as its own choices of
// arguments come to them; Programs/kept runs them as they are. What fails is made shorter as a
// program, so that go test need not do that with bytes: -fuzzminimizetime 1x leaves it the time
// to find something.
func (s Suite) Fuzz(f *testing.F) {
	choices := s.choices()
	for seed := range uint64(10) {
		f.Add(choices.encode(choices.random(seed)))
	}
	files, err := regressionFiles()
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(choices.encode(file.program))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		prog := choices.decode(b)
		if diff := s.run(t, prog); diff != nil {
			say(t, without(s.Secrets, s.shortest(t, prog, diff)))
			t.Fail()
		}
	})
}
