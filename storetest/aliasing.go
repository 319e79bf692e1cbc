package storetest

import (
	"bytes"
	"time"

	"github.com/tokensession/tokensession"
)

// lent is Data that the caller goes on using: part of a larger buffer.
func lent() (data, buffer []byte) {
	buffer = []byte("what the caller stores|and what else is in his buffer")
	return buffer[:22], buffer
}

func scribble(b []byte) {
	for i := range b {
		b[i] = '#'
	}
}

func aliasingCreate(p *probe) {
	id := newID()
	data, buffer := lent()
	want := bytes.Clone(data)
	p.mustCreate(id, tokensession.Record{Data: data, TTL: time.Hour})
	scribble(buffer)
	p.wantRecord(id, tokensession.Record{Data: want})
}

func aliasingUpdate(p *probe) {
	id := newID()
	v := p.mustCreate(id, record("before", "", time.Hour))
	data, buffer := lent()
	want := bytes.Clone(data)
	p.mustUpdate(id, tokensession.Record{Data: data, Version: v, TTL: time.Hour})
	scribble(buffer)
	p.wantRecord(id, tokensession.Record{Data: want})
}

// aliasingGet holds what Get returned while the caller reuses what he had stored.
func aliasingGet(p *probe) {
	id := newID()
	data, buffer := lent()
	want := bytes.Clone(data)
	v := p.mustCreate(id, tokensession.Record{Data: data, TTL: time.Hour})
	created := p.mustGet(id)
	again, bufferAgain := lent()
	p.mustUpdate(id, tokensession.Record{Data: again, Version: v, TTL: time.Hour})
	updated := p.mustGet(id)
	scribble(buffer)
	scribble(bufferAgain)
	if !bytes.Equal(created.Data, want) || !bytes.Equal(updated.Data, want) {
		p.fatalf("what Gets had returned became %q and %q when the caller changed what he had stored",
			created.Data, updated.Data)
	}
}

// aliasingCaller looks whether the store writes to the caller's buffer.
func aliasingCaller(p *probe) {
	id := newID()
	data, buffer := lent()
	want := bytes.Clone(buffer)
	v := p.mustCreate(id, tokensession.Record{Data: data, TTL: time.Hour})
	v = p.mustUpdate(id, tokensession.Record{Data: data, Version: v, TTL: time.Hour})
	p.mustUpdate(id, at(v, record("something else that is longer", "", time.Hour)))
	p.mustDelete(id)
	if !bytes.Equal(buffer, want) {
		p.fatalf("the caller's buffer is %q, was %q", buffer, want)
	}
}
