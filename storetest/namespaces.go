package storetest

import (
	"strconv"
	"time"

	"github.com/tokensession/tokensession"
)

// neighbours are names of namespaces that a careless encoding of keys, a pattern that
// is not escaped or a database that folds case mixes up.
var neighbours = []struct{ check, a, b string }{
	{"colon", "a", "a:b"},
	{"repeated", "s", "s:s"},
	{"prefix", "a", "ab"},
	{"case", "Sess", "sess"},
	{"brackets", "sess[1]", "sess1"},
	{"star", "a*", "ab"},
	{"question_mark", "a?", "ab"},
	{"underscore", "a_b", "axb"},
	{"percent", "a%", "ab"},
}

// neighbourIDs are ids that become one key where names and ids are strung together.
var neighbourIDs = []string{"1", "b1", "b:1", ":b1", ":b:1", "s:1", "s:s:1", "a:1", "a:b:1"}

// namespaceChecks are one for each pair of neighbours, so that a driver may refuse a name.
func namespaceChecks() (list []check) {
	for _, n := range neighbours {
		list = append(list, check{n.check, still, func(p *probe) {
			a, b := p.namespaces(n.a, n.b)
			a.keepsRecordsFrom(b)
			b.keepsRecordsFrom(a)
			a.seesNothingOf(b)
			b.seesNothingOf(a)
		}})
	}
	return list
}

// namespaces returns p at work on the stores of two namespaces.
func (p *probe) namespaces(a, b string) (inA, inB *probe) {
	if p.suite.Namespaces == nil {
		p.Skip("Suite.Namespaces is nil: no other store can reach this one's backend")
	}
	first, second := p.suite.Namespaces(p.recorder, a, b)
	p.closeLater(first)
	p.closeLater(second)
	return p.named(strconv.Quote(a), first), p.named(strconv.Quote(b), second)
}

// keepsRecordsFrom gives a and b records under the same ids and confusable ones, and
// takes them away again.
func (a *probe) keepsRecordsFrom(b *probe) {
	for _, id := range neighbourIDs {
		a.mustCreate(id, record("a's "+id, "owner", time.Hour))
	}
	for _, id := range neighbourIDs {
		b.wantGone(id)
		_, err := b.update(id, at(a.mustGet(id).Version, record("b's", "owner", time.Hour)))
		b.want(tokensession.ErrNotFound, err, "Update of a record of another namespace")
		b.want(tokensession.ErrNotFound, b.touch(id, time.Minute), "Touch of a record of another namespace")
		b.delete(id)
	}
	for _, id := range neighbourIDs {
		b.mustCreate(id, record("b's "+id, "owner", time.Hour))
	}
	for _, id := range neighbourIDs {
		a.wantRecord(id, record("a's "+id, "owner", 0))
		b.wantRecord(id, record("b's "+id, "owner", 0))
	}
	for _, id := range neighbourIDs {
		a.mustDelete(id)
		b.wantRecord(id, record("b's "+id, "owner", 0))
		b.mustDelete(id)
	}
}

// seesNothingOf looks with the capabilities of a for the records of b, and then lets a
// remove all that it finds.
func (a *probe) seesNothingOf(b *probe) {
	for _, id := range neighbourIDs {
		b.mustCreate(id, record("b's", "owner", time.Hour))
	}
	for _, v := range a.views("absent", "owner") {
		if a.sees(v) {
			a.fatalf("%s of an empty store sees records of another namespace", v.name)
		}
	}
	a.mustCreate("mine", record("a's", "owner", time.Hour))
	if has[tokensession.OwnerIndex](a.store) {
		a.wantDeleted("owner", 1)
	}
	if has[tokensession.Clearer](a.store) {
		a.mustClear()
	}
	a.delete("mine")
	for _, id := range neighbourIDs {
		b.wantRecord(id, record("b's", "owner", 0))
		b.mustDelete(id)
	}
}
