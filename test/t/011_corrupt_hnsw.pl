# 011_corrupt_hnsw.pl -- damaged pages of hnsw give errors or findings, never a crash or a hang
#
# How the damage is done and what must survive it: Corrupt.pm.

use strict;
use warnings;
use File::Basename;
use Test::More;
use lib dirname(__FILE__);
use Corrupt;

# src/am/hnsw/hnswpage.h, for 16 dimensions with m = 16 and 8 bits for own codes and edges
use constant {
	META => 32, MODEL => 33, BASE => 34, UPPER => 35, REST => 36, ROWS => 37,
	DIMS => 16, CODE => 16 + 16, EDGE => 4 + 4 + 16, CHUNK => 72
};
use constant {
	RECORD => { BASE, 32 + CODE + 32 * EDGE, UPPER, 32 + CODE + 16 * EDGE },
	# in a record
	R_STATE => 0, R_LEVEL => 1, R_NEDGES => 2, R_DOWN => 4, R_LINK => 8, R_COUNT => 12, R_HASH => 16,
	R_TID => 24, R_CODE => 32, R_EDGES => 32 + CODE,
	EMPTY => 0, LIVE => 1, DEAD => 2, FREED => 3,
	# in a chunk of rows
	C_NODE => 0, C_NEXT => 4, C_N => 8, C_TID => 12,
	# in the metapage
	M_MAGIC => 0, M_FORMAT => 4, M_DIMS => 24, M_DIM => 28, M_EDIM => 32, M_OPCLASS => 36, M_CODEC => 38,
	M_EDGE_BITS => 40, M_M => 42, M_EF => 44, M_LEVEL => 46, M_ENTRY => 48, M_UNIT => 60, M_MODEL => 68,
	M_MODEL_PAGES => 72, M_TIDS => 96, M_CURVE => 144
};
use constant { NAN => 0x7FC00000, FAR => 0x7FFFFFF0 };

sub per_page { my ($kind) = @_; return int((PAGE - CONTENTS - 16) / RECORD->{$kind}); }

# do(block, offset, record number) for every live record of a kind of page
sub every_record
{
	my ($pages, $kind, $do) = @_;
	for my $blkno (all_of($pages, $kind))
	{
		for my $i (0 .. per_page($kind) - 1)
		{
			my $at = CONTENTS + $i * RECORD->{$kind};
			$do->($blkno, $at, $blkno * per_page($kind) + $i) if ord(substr($pages->[$blkno], $at, 1)) == LIVE;
		}
	}
}

# The same for every chunk of rows in use, with its number.
sub every_chunk
{
	my ($pages, $do) = @_;
	my $n = int((PAGE - CONTENTS - 16) / CHUNK);
	for my $blkno (all_of($pages, ROWS))
	{
		for my $i (0 .. $n - 1)
		{
			my $at = CONTENTS + $i * CHUNK;
			$do->($blkno, $at, $blkno * $n + $i) if get32($pages, $blkno, $at) != 0;
		}
	}
}

# Damage: the same bytes, or those that bytes(page number, offset, record number) gives, in every record.
sub records
{
	my ($kind, $at, $bytes) = @_;
	return sub {
		my ($p) = @_;
		every_record($p, $kind, sub { patch($p, $_[0], $_[1] + $at, ref $bytes ? $bytes->(@_) : $bytes); });
	};
}

# The same in the first record that has an edge.
sub one_record
{
	my ($kind, $at, $bytes) = @_;
	return sub {
		my ($p) = @_;
		my $done = 0;
		every_record($p, $kind, sub {
				patch($p, $_[0], $_[1] + $at, ref $bytes ? $bytes->($p, @_) : $bytes) unless $done++;
			});
	};
}

sub chunks
{
	my ($at, $bytes) = @_;
	return sub {
		my ($p) = @_;
		every_chunk($p, sub { patch($p, $_[0], $_[1] + $at, ref $bytes ? $bytes->(@_) : $bytes); });
	};
}

# Every edge of every record leads there.
sub edges
{
	my ($kind, $to) = @_;
	my $slots = $kind == BASE ? 32 : 16;
	return sub {
		my ($p) = @_;
		every_record($p, $kind, sub {
				my ($blkno, $at, $number) = @_;
				patch($p, $blkno, $at + R_EDGES + $_ * EDGE, pack('V', ref $to ? $to->($p, $number) : $to)) for 0 .. $slots - 1;
			});
	};
}

# The first edge becomes a copy of the second.
sub double_edge
{
	my ($p, $blkno, $at) = @_;
	return substr($p->[$blkno], $at + R_EDGES + EDGE, EDGE);
}

# name => damage; every one of them must be seen by vecpg_check
my @cases = (
	[ zero_meta => zero_first(META) ],
	[ zero_model => zero_first(MODEL) ],
	[ zero_base => zero_first(BASE) ],
	[ zero_upper => zero_first(UPPER) ],
	[ zero_rows => zero_first(ROWS) ],
	[ zero_tids => zero_first(VS_TIDS) ],
	[ garbage_base => sub { my ($p) = @_; $p->[ first_of($p, BASE) ] = "\xA5" x PAGE; } ],
	[ truncated => sub { my ($p) = @_; splice(@$p, int(@$p / 2)); } ],
	[ wrong_kind => sub { my ($p) = @_; patch($p, first_of($p, BASE), O_KIND, pack('C', UPPER)); } ],
	[ unknown_kind => sub { my ($p) = @_; patch($p, first_of($p, BASE), O_KIND, "\xEE"); } ],
	[ foreign_kind => sub { my ($p) = @_; patch($p, first_of($p, UPPER), O_KIND, pack('C', 19)); } ],
	# records
	[ record_state => records(BASE, R_STATE, "\x09") ],
	[ record_empty => one_record(BASE, R_STATE, pack('C', EMPTY)) ],
	[ record_dead => one_record(BASE, R_STATE, pack('C', DEAD)) ],
	[ all_freed => records(BASE, R_STATE, pack('C', FREED)) ],
	[ upper_freed => records(UPPER, R_STATE, pack('C', FREED)) ],
	[ freed_in_future => sub {
			my ($p) = @_;
			one_record(BASE, R_HASH, pack('VV', 0, 0x7FFFFFFF))->($p);
			one_record(BASE, R_STATE, pack('C', FREED))->($p);
		} ],
	[ record_level => records(BASE, R_LEVEL, "\x03") ],
	[ upper_level => records(UPPER, R_LEVEL, "\x00") ],
	[ upper_level_huge => records(UPPER, R_LEVEL, "\xFF") ],
	[ record_edges => records(BASE, R_NEDGES, pack('v', 65535)) ],
	[ upper_edges => records(UPPER, R_NEDGES, pack('v', 17)) ],
	[ no_edges => records(BASE, R_NEDGES, pack('v', 0)) ],
	[ record_count => records(BASE, R_COUNT, pack('V', NOWHERE)) ],
	[ record_no_count => records(BASE, R_COUNT, pack('V', 0)) ],
	[ record_hash => records(BASE, R_HASH, pack('VV', 1, 1)) ],
	[ own_code => records(BASE, R_CODE + 16, "\xFF" x 16) ],
	[ own_code_of_one => one_record(BASE, R_CODE + 16, "\x00" x 16) ],
	[ own_code_no_number => records(BASE, R_CODE, pack('V4', (NAN) x 4)) ],
	[ own_code_infinite => records(BASE, R_CODE, pack('V4', (0x7F800000) x 4)) ],
	# edges
	[ edge_past_the_end => edges(BASE, FAR) ],
	[ edge_largest => edges(BASE, NOWHERE) ],
	[ edge_to_meta => edges(BASE, 0) ],
	[ edge_to_itself => edges(BASE, sub { $_[1] }) ],
	[ edges_to_one => edges(BASE, sub { first_of($_[0], BASE) * per_page(BASE) }) ],
	[ edge_to_upper => edges(BASE, sub { first_of($_[0], UPPER) * per_page(BASE) }) ],
	[ edge_to_rows => edges(BASE, sub { first_of($_[0], ROWS) * per_page(BASE) }) ],
	[ upper_edge_past_the_end => edges(UPPER, FAR) ],
	[ upper_edge_to_base => edges(UPPER, sub { first_of($_[0], BASE) * per_page(UPPER) }) ],
	[ upper_edge_to_itself => edges(UPPER, sub { $_[1] }) ],
	[ edge_twice => one_record(BASE, R_EDGES, \&double_edge) ],
	[ edge_code => one_record(BASE, R_EDGES + 8, "\x55" x 16) ],
	[ edge_factors => records(BASE, R_EDGES + 4, pack('vv', 0x7E00, 0x7C00)) ],
	[ upper_edge_code => one_record(UPPER, R_EDGES + 8, "\x55" x 16) ],
	# links
	[ down_past_the_end => records(UPPER, R_DOWN, pack('V', FAR)) ],
	[ down_to_meta => records(UPPER, R_DOWN, pack('V', 0)) ],
	[ down_to_itself => records(UPPER, R_DOWN, sub { pack('V', $_[2]) }) ],
	[ down_to_another => one_record(UPPER, R_DOWN, sub { pack('V', get32($_[0], $_[1], $_[2] + R_DOWN) + 1) }) ],
	[ base_past_the_end => records(UPPER, R_LINK, pack('V', FAR)) ],
	[ base_of_another => one_record(UPPER, R_LINK, sub { pack('V', get32($_[0], $_[1], $_[2] + R_LINK) + 1) }) ],
	# rows
	[ chain_past_the_end => records(BASE, R_LINK, pack('V', FAR)) ],
	[ chain_to_meta => records(BASE, R_LINK, pack('V', 1)) ],
	[ chain_to_its_own_page => records(BASE, R_LINK, sub { pack('V', $_[0] * 113) }) ],
	[ chain_to_a_foreign_chunk => sub {
			my ($p) = @_;
			records(BASE, R_LINK, pack('V', first_of($p, ROWS) * 113))->($p);
		} ],
	[ chain_lost => records(BASE, R_LINK, pack('V', 0)) ],
	[ chunk_to_itself => chunks(C_NEXT, sub { pack('V', $_[2]) }) ],
	[ chunks_in_a_ring => chunks(C_NEXT, sub { pack('V', $_[2] ^ 1) }) ],
	[ chunk_past_the_end => chunks(C_NEXT, pack('V', FAR)) ],
	[ chunk_to_base => sub { my ($p) = @_; chunks(C_NEXT, pack('V', first_of($p, BASE) * 113))->($p); } ],
	[ chunk_of_another => chunks(C_NODE, sub { pack('V', 9) }) ],
	[ chunk_of_nobody => chunks(C_NODE, pack('V', FAR)) ],
	[ chunk_free => chunks(C_NODE, pack('V', 0)) ],
	[ chunk_rows => chunks(C_N, pack('v', 65535)) ],
	[ chunk_no_rows => chunks(C_N, pack('v', 0)) ],
	[ chunk_tid_twice => chunks(C_TID, pack('v3', 0, 0, 1)) ],
	[ tid_beyond_the_table => one_record(BASE, R_TID, pack('v3', 9, 9, 1)) ],
	[ tid_lost => one_record(BASE, R_TID, "\0" x 6) ],
	[ tids_to_itself => chain_self(VS_TIDS) ],
	[ tids_count => sub { my ($p) = @_; patch($p, first_of($p, VS_TIDS), CONTENTS, pack('V', NOWHERE)); } ],
	[ tids_sort => sub { my ($p) = @_; patch($p, first_of($p, VS_TIDS), O_OWNER, pack('V', 77)); } ],
	# model and metapage
	[ mean => sub { my ($p) = @_; patch($p, first_of($p, MODEL), CONTENTS, pack('V*', (0x7F800000) x DIMS)); } ],
	[ magic => meta32(M_MAGIC, 1) ],
	[ format => meta32(M_FORMAT, 99) ],
	[ dims => meta32(M_DIMS, 16000) ],
	[ dims_zero => meta32(M_DIMS, 0) ],
	[ rotated_dims => meta32(M_DIM, 1 << 20) ],
	[ edge_dims => meta32(M_EDIM, 0) ],
	[ opclass => meta16(M_OPCLASS, 7) ],
	[ other_opclass => meta16(M_OPCLASS, 2) ],
	[ codec => meta16(M_CODEC, 200) ],
	[ other_codec => meta16(M_CODEC, 4) ],
	[ edge_bits => meta16(M_EDGE_BITS, 1) ],
	[ edge_bits_unknown => meta16(M_EDGE_BITS, 77) ],
	[ edges_of_a_record => meta16(M_M, 100) ],
	[ no_edges_of_a_record => meta16(M_M, 0) ],
	[ no_ef => meta16(M_EF, 0) ],
	[ entry_level => meta16(M_LEVEL, 31) ],
	[ entry_level_huge => meta16(M_LEVEL, 65535) ],
	[ entry_level_base => meta16(M_LEVEL, 0) ],
	[ no_entry => meta32(M_ENTRY, 0) ],
	[ entry_past_the_end => meta32(M_ENTRY, FAR) ],
	[ entry_on_the_model => meta32(M_ENTRY, 18) ],
	[ unit => meta32(M_UNIT, NAN) ],
	[ unit_zero => meta32(M_UNIT, 0) ],
	[ model_place => meta32(M_MODEL, 0xFFFFFFF0) ],
	[ model_pages => meta32(M_MODEL_PAGES, 0xFFFFFFF0) ],
	[ tids_head => meta32(M_TIDS, FAR) ],
	[ curve_points => meta32(M_CURVE + 8, 0x7FFFFFFF) ],
);

survive(
	using => 'hnsw (v vector_l2_ops)',
	source => <<SQL,
CREATE TABLE source (id int, v vector(16));
INSERT INTO source
	SELECT i, (SELECT array_agg(((i * (d * 2654435761 % 997 + 1)) % 1009)::real) FROM generate_series(1, 16) d)
	FROM generate_series(1, 600) i;
INSERT INTO source SELECT 1000 + i, array_fill((i % 3)::real, ARRAY[16])::vector FROM generate_series(1, 120) i;
INSERT INTO source SELECT -i, NULL FROM generate_series(1, 20) i;
SQL
	query => '[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]',
	more => 'SELECT 5000 + i, (SELECT array_agg((i % 70 + d)::real) FROM generate_series(1, 16) d)::vector
		FROM generate_series(1, 200) i',
	cases => \@cases,
	random => 24,
	# headers of pages, records and chunks; first edges; tails of pages; anywhere
	place => sub {
		my $record = CONTENTS + RECORD->{+BASE} * int(rand(per_page(BASE)));
		my @places = (int(rand(120)) + CONTENTS, OPAQUE + int(rand(16)), int(rand(PAGE)), $record + int(rand(32)),
			$record + R_EDGES + EDGE * int(rand(32)) + int(rand(4)),
			CONTENTS + RECORD->{+UPPER} * int(rand(per_page(UPPER))) + int(rand(16)), CONTENTS + CHUNK * int(rand(113)) + int(rand(12)));
		return $places[ int(rand(@places)) ];
	});

# ---- records of several pages ----

sub each_head
{
	my ($do) = @_;
	return sub { my ($p) = @_; $do->($p, $_) for all_of($p, BASE); };
}

my @wide = (
	[ wide_zero_rest => zero_first(REST) ],
	[ wide_rest_is_base => sub { my ($p) = @_; patch($p, first_of($p, REST), O_KIND, pack('C', BASE)); } ],
	[ wide_head_to_itself => chain_self(BASE) ],
	[ wide_rest_to_itself => chain_self(REST) ],
	[ wide_head_past_the_end => each_head(sub { patch($_[0], $_[1], OPAQUE, pack('V', FAR)); }) ],
	[ wide_head_alone => each_head(sub { patch($_[0], $_[1], OPAQUE, pack('V', NOWHERE)); }) ],
	[ wide_one_rest => each_head(sub { patch($_[0], $_[1], OPAQUE, pack('V', first_of($_[0], REST))); }) ],
	[ wide_edges => each_head(sub { patch($_[0], $_[1], CONTENTS + R_NEDGES, pack('v', 999)); }) ],
	[ wide_head_garbage => sub { my ($p) = @_; patch($p, first_of($p, BASE), CONTENTS + 32, "\xA5" x 4000); } ],
	[ wide_rest_garbage => sub { my ($p) = @_; patch($p, first_of($p, REST), CONTENTS, "\xA5" x 4000); } ],
);

survive(
	using => 'hnsw (v vector_l2_ops)',
	source => <<SQL,
CREATE TABLE source (id int, v vector(3000));
INSERT INTO source
	SELECT i, (SELECT array_agg(((i * (d * 2654435761 % 997 + 1)) % 1009)::real) FROM generate_series(1, 3000) d)
	FROM generate_series(1, 60) i;
SQL
	query => '[' . join(',', 1 .. 3000) . ']',
	more => 'SELECT 5000 + i, (SELECT array_agg((i % 70 + d)::real) FROM generate_series(1, 3000) d)::vector
		FROM generate_series(1, 30) i',
	cases => \@wide);
done_testing();
