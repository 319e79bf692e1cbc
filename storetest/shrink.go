package storetest

import (
	"slices"
	"time"
)

// shrinker makes a program shorter and simpler that fails.
type shrinker struct {
	choices
	fails func(program) *difference // nil if the program passes
	end   time.Time                 // when to be content with what there is

	prog program
	diff *difference
}

// shrink returns the shortest program found that fails as prog does, or otherwise, and how.
func (s *shrinker) shrink() (program, *difference) {
	s.cut()
	for better := true; better; {
		better = s.dropCalls()
		better = s.mergeCalls() || better
		better = s.simplifyAll() || better
		better = s.simplifyEach() || better
	}
	return s.prog, s.diff
}

// cut leaves out what comes after the call that fails.
func (s *shrinker) cut() { s.prog = s.prog[:min(len(s.prog), s.diff.line+1)] }

// try takes prog if it fails too.
func (s *shrinker) try(prog program) bool {
	if time.Now().After(s.end) {
		return false
	}
	diff := s.fails(prog)
	if diff == nil {
		return false
	}
	s.prog, s.diff = prog, diff
	s.cut()
	return true
}

// dropCalls leaves out calls: half of them at once, then fewer, down to one, and then any
// two, for one may undo the other.
func (s *shrinker) dropCalls() (better bool) {
	for n := (len(s.prog) + 1) / 2; n > 0; n /= 2 {
		for i := 0; i+n <= len(s.prog); {
			if s.try(slices.Delete(slices.Clone(s.prog), i, i+n)) {
				better = true
			} else {
				i++
			}
		}
	}
	for i := 0; i < len(s.prog); i++ {
		for j := i + 1; j < len(s.prog); j++ {
			shorter := slices.Delete(slices.Clone(s.prog), j, j+1)
			if s.try(slices.Delete(shorter, i, i+1)) {
				better = true
			}
		}
	}
	return better
}

// mergeCalls leaves out a call and gives one of its arguments, or all that fit, to another.
func (s *shrinker) mergeCalls() (better bool) {
	for i := 0; i < len(s.prog); i++ {
		better = s.merge(i) || better
	}
	return better
}

func (s *shrinker) merge(i int) bool {
	from := s.prog[i]
	for j, into := range s.prog {
		together := into
		for _, param := range operations[into.op] {
			if j == i || from.args[param] == into.args[param] || !slices.Contains(operations[from.op], param) {
				continue
			}
			alone := into
			alone.args[param], together.args[param] = from.args[param], from.args[param]
			if s.tryMerged(i, j, alone) || s.tryMerged(i, j, together) {
				return true
			}
		}
	}
	return false
}

// tryMerged tries a program without call i and with another call j.
func (s *shrinker) tryMerged(i, j int, merged instruction) bool {
	prog := slices.Clone(s.prog)
	prog[j] = merged
	return s.try(slices.Delete(prog, i, i+1))
}

// simplifyAll replaces an argument by a simpler one wherever it stands, so that what
// belongs together stays so.
func (s *shrinker) simplifyAll() (better bool) {
	for param := range parameters {
		for i := 0; i < len(s.prog); i++ {
			arg := s.prog[i].args[param]
			better = s.simplify(i, param, func(prog program, simple string) {
				for j := range prog {
					if prog[j].args[param] == arg && slices.Contains(operations[prog[j].op], param) {
						prog[j].args[param] = simple
					}
				}
			}) || better
		}
	}
	return better
}

// simplifyEach replaces single arguments.
func (s *shrinker) simplifyEach() (better bool) {
	for param := range parameters {
		for i := 0; i < len(s.prog); i++ {
			better = s.simplify(i, param, func(prog program, simple string) { prog[i].args[param] = simple }) || better
		}
	}
	return better
}

// simplify tries what is simpler than an argument of call i, the simplest first.
func (s *shrinker) simplify(i int, param parameter, replace func(prog program, simple string)) bool {
	if !slices.Contains(operations[s.prog[i].op], param) {
		return false
	}
	for _, simple := range s.simpler(param, s.prog[i].args[param]) {
		prog := slices.Clone(s.prog)
		replace(prog, simple)
		if s.try(prog) {
			return true
		}
	}
	return false
}
