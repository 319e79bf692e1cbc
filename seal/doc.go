// Package seal encrypts sessions at rest: a [Store] around any other, which sees no data and
// no owner in the clear.
//
//	sealed, err := seal.New(store, key)
//	sessions := session.New[visit](sealed, nil)
//
// It keeps the rules of [tokensession.Store] as the store under it does, with the
// differences that stand here, and [tokensession.As] finds in it the capabilities that
// are found in that store. Closing that store closes both.
//
// # What it protects
//
// Whoever has a copy of the database, a backup, a snapshot, a replica, the log of
// its statements or a disk that was thrown away, but no key, learns from it neither Data
// nor owners. Whoever can write to the database can neither make a record nor change one, nor
// put it under another id, nor give it to another owner: what he has touched is
// [tokensession.ErrCorrupt], and never a session.
//
// # What it does not protect
//
//   - Replay. Whoever can write to the database can put back what stood there before
//     under the same id: a session that was changed since, or ended.
//   - Deletion. He can remove records, change their lifetimes, or take them out of an
//     index, so that ByOwner and DeleteOwner do not find them.
//   - Metadata. Ids, times, the length of Data and owner together and the id of
//     the key are legible. So is which records have an owner, and which have the same one,
//     but not who that is.
//   - The application. It has the keys, and the sessions in its memory.
//
// Give each store keys of its own. A record that was sealed for one store opens in
// another that has the same keys, under the same id.
//
// # Keys
//
// A key is 32 random bytes, and as secret as all the sessions together. This makes one that
// can stand in a configuration, from where base64 decodes it:
//
//	openssl rand -base64 32
//
// A record whose key was lost or dropped, one that was stored before there was a seal
// and one that was tampered with are ErrCorrupt, with a [tokensession.OpError] that
// says which of these. For Get that is an answer; All and ByOwner go on after it. For
// package session the client begins a new session. Create, Touch, Delete and Len do not
// open the record, and deal with it as with any other.
//
// # Rotation
//
// To bring in a new key, give it to all instances of the application in three steps, each
// of which ends when all of them have taken it:
//
//	seal.New(store, old, new) // all can open what the new key seals
//	seal.New(store, new, old) // Create and Update seal with the new key
//	seal.New(store, new)
//
// Every Update seals anew. The last step is safe when nothing is left that the old key has
// sealed: when the Lifetime of sessions has gone by since the second, or at once after all
// records were updated, as the example shows.
//
// With several keys, ByOwner looks for what each has sealed. It can show a record twice
// that is updated meanwhile, if that takes it from one key to another, and misses none. Only
// during the second step, while instances whose first keys differ update the same record in
// turn, can ByOwner and DeleteOwner miss that one: what must not be missed is to be
// repeated after that step.
//
// # Limits
//
// A sealed record is longer by 47 bytes and its owner. What the store under this one
// then refuses is [tokensession.ErrTooLarge], as from that store.
//
// # How it is done
//
// Data and owner are sealed by AES-256-GCM with a key for each record, which is
// derived by XAES-256-GCM (https://c2sp.org/XAES-256-GCM) from a key of the application
// and 12 random bytes. With another 12 as the nonce, the number of records that a key may
// seal has no bound that an application could reach (2^80), where 12 alone allow 2^32 (NIST SP
// 800-38D, section 8.3). The record's id, and what stands for its owner, are
// authenticated with it. For its owner stands HMAC-SHA-256, cut to 16 bytes. The keys for
// both are derived with HKDF-SHA-256 (RFC 5869) from the application's. All of it is the
// standard library's, and works in its FIPS 140-3 mode.
package seal
