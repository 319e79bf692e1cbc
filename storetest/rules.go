package storetest

// rule is a promise of the contract. Its text is that of the comments in package
// tokensession, which a test compares.
type rule struct {
	name   string // of the subtest; it starts with the number where the rule has one
	text   string // what a failure prints
	checks []check
}

// rules are the numbered ones of tokensession.Store, what it says of its errors, and
// the capabilities.
var rules = []rule{
	{
		name: "Rule01_IDs",
		text: `1. Ids. An id is 1 to 128 bytes, each a printable ASCII character other than
space (0x21 to 0x7E). Any other id is ErrInvalidID, from every method
and before any I/O. Ids are compared byte by byte; case counts.`,
		checks: []check{
			{"accepted", still, idsAccepted},
			{"refused", still, idsRefused},
		},
	},
	{
		name: "Rule02_Data",
		text: `2. Data. Any bytes at all, of any length up to at least 512 KiB, come back
as they were given. Nil and empty are the same. What a store cannot hold
it refuses with ErrTooLarge, and the record that was there stands.`,
		checks: []check{
			{"returned", still, dataReturns},
			{"empty", still, dataEmpty},
			{"too_large", still, dataTooLarge},
			{"declared", still, dataLimit},
		},
	},
	{
		name: "Rule03_Owner",
		text: `3. Owner. Valid UTF-8 without NUL, of at most 256 bytes; "" is nobody.
Anything else is ErrInvalidOwner.`,
		checks: []check{
			{"accepted", still, ownersAccepted},
			{"refused", still, ownersRefused},
		},
	},
	{
		name: "Rule04_TTL",
		text: `4. TTL. More than zero and at most MaxTTL, or Forever; anything else is
ErrInvalidTTL. A store never rounds it down, whether it is a
microsecond, 31 days or ends after 2038, and keeps for ever only what was
given Forever. The TTL that Get returns is positive and was true at some
instant during the call; it is Forever if and only if the record's is.`,
		checks: []check{
			{"refused", still, ttlRefused},
			{"shown", aging, ttlShown},
			{"tiny", aging, ttlTiny},
			{"forever", aging, ttlForever},
			{"days", days, ttlDays},
		},
	},
	{
		name: "Rule05_Get",
		text: `5. Get. A live record or ErrNotFound. The caller only reads Data, and no
later operation changes what he was given.`,
		checks: []check{
			{"absent", still, getAbsent},
			{"complete", still, getComplete},
			{"only_reads", aging, getOnly},
			{"stays", still, getStays},
		},
	},
	{
		name: "Rule06_Create",
		text: `6. Create. Stores a record where no live one is; where one is, it is
ErrExists and nothing changes. An expired record is no record. Of
Creates that run at the same time never two succeed, and one does unless
the outcome of one of them is unknown (rule 12).`,
		checks: []check{
			{"stores", still, createStores},
			{"exists", still, createExists},
			{"ignores_version", still, createIgnoresVersion},
			{"again", still, createAgain},
			{"over_expired", aging, createOverExpired},
			{"one_winner", still, createRace},
			{"one_winner_over_expired", still, createRaceExpired},
		},
	},
	{
		name: "Rule07_Update",
		text: `7. Update. Replaces Data, Owner and TTL if rec.Version is a Version of the
state that is there. If no live record is there, it is ErrNotFound; if
its state is another, or rec.Version is empty, malformed or foreign, it is
ErrConflict. After either nothing has changed, the lifetime included,
and nothing was created. Of any number of Updates from one Version at most
one succeeds. Every success makes a new Version, even if all else is equal.`,
		checks: []check{
			{"replaces", aging, updateReplaces},
			{"versions", still, updateVersions},
			{"absent", still, updateAbsent},
			{"conflict", still, updateConflict},
			{"foreign", still, updateForeign},
			{"equal", still, updateEqual},
			{"one_winner", still, updateRace},
		},
	},
	{
		name: "Rule08_Versions",
		text: `8. Versions never come back. A Version that was valid for an id and no longer
is will never be valid again: not after Delete and Create, not after Clear,
compaction, restart, restore or failover. Random nonces of 96 bits achieve
that; counters seldom do. One state may have several Version strings, so
callers do not compare them.`,
		checks: []check{
			{"deleted", still, versionsDeleted},
			{"expired", aging, versionsExpired},
			{"cleared", still, versionsCleared},
			{"owner_deleted", still, versionsOwnerDeleted},
			{"reopened", still, versionsReopened},
		},
	},
	{
		name: "Rule09_Touch",
		text: `9. Touch. Sets the time to live, longer or shorter, and nothing else: Data and
Owner stay, and so does the validity of every Version. It never revives:
where no live record is, it is ErrNotFound.`,
		checks: []check{
			{"only_ttl", aging, touchOnlyTTL},
			{"absent", still, touchAbsent},
			{"beside_update", still, touchBesideUpdate},
			{"beside_expiry", still, touchBesideExpiry},
		},
	},
	{
		name: "Rule10_Delete",
		text: `10. Delete. Afterwards no record is there. That none was there before is no
error.`,
		checks: []check{
			{"removes", still, deleteRemoves},
			{"absent", still, deleteAbsent},
			{"beside_update", still, deleteBesideUpdate},
			{"beside_touch", still, deleteBesideTouch},
		},
	},
	{
		name: "Rule11_Expiry",
		text: `11. Expiry. A record is gone for every method and capability the moment its
time is up, whether or not anything has removed it yet: not before its TTL
has passed, and at the latest one granularity after, which the driver
states. The clock is the server's, or, in drivers that say so, that of the
machines the application runs on.`,
		checks: []check{
			{"not_before", aging, expiryNotBefore},
			{"moved", aging, expiryMoved},
			{"Get", aging, expiryGet},
			// Rule06_Create/over_expired asks Create.
			{"Update", aging, expiryUpdate},
			{"Touch", aging, expiryTouch},
			{"Delete", aging, expiryDelete},
			{"Len", aging, expiryLen},
			{"All", aging, expiryAll},
			{"ByOwner", aging, expiryByOwner},
			{"DeleteOwner", aging, expiryDeleteOwner},
			{"agreed", aging, expiryAgreed},
			{"reaped", days, expiryReaped},
		},
	},
	{
		name: "Rule12_Outages",
		text: `12. Outages. An error that is none of this package's means "I do not know". A
write that ended so may still take effect, later, but at most once and only
if its precondition holds then. An outage is never reported as ErrNotFound,
ErrExists or ErrConflict.`,
		checks: []check{
			{"reported", still, outageReported},
			{"outcome", still, outageOutcome},
			{"refused", still, outageRefused},
			{"connections", still, outageConnections},
			{"reads", still, outageReads},
			{"late", still, outageLate},
		},
	},
	{
		name: "Rule13_Contexts",
		text: `13. Contexts. If the context is done before the call, the call returns an error
that wraps the context's and has no effect. A deadline ends a call within
100 ms, with an error that wraps context.DeadlineExceeded, however the
server stalls; a cancellation ends it at the latest at the driver's I/O
timeout, which the driver states. Waiting for a local disk is exempt.`,
		checks: []check{
			{"done", still, contextsDone},
			{"iterators", still, contextsIterators},
			{"after_return", still, contextsAfter},
			{"deadline", still, contextsDeadline},
			{"canceled", still, contextsCanceled},
		},
	},
	{
		name: "Rule14_Once",
		text: `14. Once is once. A driver sends a write again only where it can recognise its
own first try. What it finds then is an answer only if it is its own;
otherwise the first error stands.`,
		checks: []check{
			{"chain", still, onceChain},
			{"increments", still, onceIncrements},
			{"lost_create", still, lost(createAttempt)},
			{"lost_update", still, lost(updateAttempt)},
			{"lost_touch", still, lost(touchAttempt)},
			{"lost_delete", still, lost(deleteAttempt)},
		},
	},
	{
		name: "Rule15_Aliasing",
		text: `15. No aliasing. What the caller does to rec.Data once Create or Update has
returned does not reach the store, nor what a Get has returned.`,
		checks: []check{
			{"create", still, aliasingCreate},
			{"update", still, aliasingUpdate},
			{"get", still, aliasingGet},
			{"caller", still, aliasingCaller},
		},
	},
	{
		name: "Rule16_Linearizability",
		text: `16. Linearizability. The calls on one id take effect one at a time, each at an
instant between its start and its return, on one primary. What a failover
may lose the driver states.`,
		checks: []check{
			{"reads", still, linearReads},
			{"histories", still, linearHistories},
		},
	},
	{
		name: "Rule17_Namespaces",
		text: `17. Namespaces. Stores on one server whose prefixes, tables or buckets differ
never see each other's records. The encoding of keys is injective (prefix
"a" and id "b:1" is not prefix "a:b" and id "1"), patterns are escaped, and
Clear empties its own namespace only.`,
		checks: namespaceChecks(),
	},
	{
		name: "Rule18_Close",
		text: `18. Close. Where a Store is an io.Closer: closing it twice is nil; every call
after it is ErrClosed; a call in flight completes or fails; no goroutine of
the store is left. A client that was passed in stays open. Arguments are
checked first, then the context, then whether the store is closed.`,
		checks: []check{
			{"twice", still, closeTwice},
			{"refuses", still, closeRefuses},
			{"iterators", still, closeIterators},
			{"order", still, closeOrder},
			{"in_flight", still, closeInFlight},
			{"inside", still, closeInside},
			{"goroutines", still, closeGoroutines},
			{"neighbour", still, closeNeighbour},
			{"stalled", still, closeStalled},
		},
	},
	{
		name: "Errors",
		text: `The errors named here may come wrapped; compare them with errors.Is. No error
holds a password or more of an id than its first 8 characters.

ErrCorrupt says that something stands under the id which is no record that
this store can read. It is an answer, but not about what the record was:
reading it again gives the same, and Delete removes it.`,
		checks: []check{
			{"discreet", still, errorsDiscreet},
			{"secrets", still, errorsSecrets},
			{"secrets_in_outages", still, errorsSecretsInOutages},
			{"corrupt", still, errorsCorrupt},
			{"corrupt_deleted", still, errorsCorruptDeleted},
		},
	},
	{
		name: "Capabilities",
		text: `Offer those of Counter, Clearer, Lister, OwnerIndex, Pinger and io.Closer that the backend
can keep honestly, and no others.`,
		checks: capabilityChecks(),
	},
	{
		name: "Counter",
		text: `Counter counts live records.`,
		checks: []check{
			{"counts", still, counterCounts},
			{"many", still, counterMany},
		},
	},
	{
		name: "Clearer",
		text: `Clearer removes every record that was there when Clear began. One that is
created meanwhile may stay.`,
		checks: []check{
			{"empties", still, clearerEmpties},
			{"many", still, clearerMany},
			{"beside_update", still, clearBesideUpdate},
		},
	},
	{
		name: "Lister",
		text: `Lister walks through the live records, in no order.

A record that is live throughout the iteration is shown, and shown once,
unless the driver says that its server may repeat one. The state shown is one
that the record had during the iteration. The memory it takes does not grow
with the number of records. No lock and no transaction is held while the
caller has an Entry: he may call the store meanwhile.

An error comes with the Entry{ID: id} of the record that it is about, and the
iteration goes on, or with the zero Entry, and the iteration has ended.`,
		checks: []check{
			{"empty", still, all.empty},
			{"shows", still, all.shows},
			{"stops", still, all.stops},
			{"reenters", still, all.reenters},
			{"keeps", still, all.keeps},
			{"beside_writes", still, all.besideWrites},
			{"corrupt", still, all.corrupt},
			{"many", still, all.many},
		},
	},
	{
		name: "OwnerIndex",
		text: `OwnerIndex finds records by their Owner. An owner is what CheckOwner
accepts, else the error is ErrInvalidOwner.
ByOwner walks through the owner's live records as Lister does. It never
misses one that is the owner's throughout, however often it was touched
or changed hands before.
DeleteOwner removes the owner's records and returns how many live ones it
removed. One that is the owner's throughout the call is gone after it, and
an Update in flight does not bring it back. One that changes hands during
the call may stay or go.`,
		checks: []check{
			{"apart", still, ownersApart},
			{"change", still, ownersChange},
			{"recreated", still, ownersRecreated},
			{"succeeded", aging, ownersSucceeded},
			{"outlive", aging, ownersOutlive},
			{"invalid", still, ownersInvalid},
			{"by_owner_empty", still, byOwner.empty},
			{"by_owner_shows", still, byOwner.shows},
			{"by_owner_stops", still, byOwner.stops},
			{"by_owner_reenters", still, byOwner.reenters},
			{"by_owner_keeps", still, byOwner.keeps},
			{"by_owner_beside_writes", still, byOwner.besideWrites},
			{"by_owner_corrupt", still, byOwner.corrupt},
			{"by_owner_many", still, byOwner.many},
			{"delete_many", still, ownersDeleteMany},
			{"delete_beside_update", still, deleteOwnerBesideUpdate},
		},
	},
	{
		name: "Pinger",
		text: `Pinger asks the backend for a sign of life.`,
		checks: []check{
			{"answers", still, pingerAnswers},
		},
	},
	{
		name: programs.name,
		text: programs.text,
		checks: []check{
			{"random", still, programsRandom},
			{"kept", still, programsKept},
		},
	},
}
