# 010_corrupt_pages.pl -- damaged pages of ivf give errors or findings, never a crash or a hang
#
# How the damage is done and what must survive it: Corrupt.pm.

use strict;
use warnings;
use File::Basename;
use Test::More;
use lib dirname(__FILE__);
use Corrupt;

# src/am/ivf/ivfpage.h
use constant {
	META => 16, MODEL => 17, DIR => 18, LIST => 19, REFINE => 20, TIDS => VS_TIDS,
	SDIM => 16, BLOCK => 664 + 16 * 32 / 8, DIR_ENTRY => 24 + 8
};
use constant BLOCKS_PER_PAGE => int((PAGE - 24 - 16) / BLOCK);
use constant {
	# in a block
	B_LIST => 0, B_NEXT => 4, B_NEXT_IDX => 8, B_USED => 10, B_FLAGS => 12, B_ADD => 24,
	B_SCALE => 152, B_REF => 280, B_REF_IDX => 408, B_TID => 472,
	# in the metapage
	M_FORMAT => 4, M_DIMS => 24, M_DIM => 28, M_SDIM => 32, M_OPCLASS => 36, M_CODEC => 38,
	M_DIR_CODEC => 40, M_NPARTS => 52, M_NLISTS => 56, M_NEXT_LIST => 60, M_MODEL => 68,
	M_MODEL_PAGES => 72, M_TIDS => 104, M_CURVE => 152
};

# A block with rows and where it is: (page, offset of the block).
sub some_block
{
	my ($pages) = @_;
	for my $blkno (0 .. $#$pages)
	{
		next unless kind($pages->[$blkno]) == LIST;
		for my $i (0 .. BLOCKS_PER_PAGE - 1)
		{
			my $at = CONTENTS + $i * BLOCK;
			return ($blkno, $at, $i) if get32($pages, $blkno, $at) != 0;
		}
	}
	die 'no block';
}

sub every_block
{
	my ($pages, $do) = @_;
	for my $blkno (all_of($pages, LIST))
	{
		for my $i (0 .. BLOCKS_PER_PAGE - 1)
		{
			my $at = CONTENTS + $i * BLOCK;
			$do->($blkno, $at, $i) if get32($pages, $blkno, $at) != 0;
		}
	}
}

# Every first entry of every directory page.
sub every_directory
{
	my ($pages, $do) = @_;
	$do->($_) for all_of($pages, DIR);
}

# name => damage; every one of them must be seen by vecpg_check
my @cases = (
	[ zero_meta => zero_first(META) ],
	[ zero_model => zero_first(MODEL) ],
	[ zero_directory => zero_first(DIR) ],
	[ zero_list => zero_first(LIST) ],
	[ zero_refine => zero_first(REFINE) ],
	[ zero_tids => zero_first(TIDS) ],
	[ garbage_list => sub { my ($p) = @_; $p->[ first_of($p, LIST) ] = "\xA5" x PAGE; } ],
	[ truncated => sub { my ($p) = @_; splice(@$p, int(@$p / 2)); } ],
	[ wrong_kind => sub { my ($p) = @_; patch($p, first_of($p, LIST), OPAQUE + 8, pack('C', REFINE)); } ],
	[ unknown_kind => sub { my ($p) = @_; patch($p, first_of($p, REFINE), OPAQUE + 8, "\xEE"); } ],
	[ block_to_itself => sub {
			my ($p) = @_;
			every_block($p, sub { patch($p, $_[0], $_[1] + B_NEXT, pack('Vv', $_[0], $_[2])); });
		} ],
	[ blocks_in_a_ring => sub {
			my ($p) = @_;
			my @list;
			every_block($p, sub { push @list, [@_]; });
			# all blocks of the index become one list's, and the last leads to the first
			for my $i (0 .. $#list)
			{
				my $to = $list[ ($i + 1) % @list ];
				patch($p, $list[$i][0], $list[$i][1], get32($p, $list[0][0], $list[0][1]) ?
					pack('VVv', 1, $to->[0], $to->[2]) : '');
			}
		} ],
	[ block_part_out_of_range => sub {
			my ($p) = @_;
			every_block($p, sub { patch($p, $_[0], $_[1] + B_NEXT, pack('Vv', $_[0], 65535)); });
		} ],
	[ block_past_the_end => sub {
			my ($p) = @_;
			every_block($p, sub { patch($p, $_[0], $_[1] + B_NEXT, pack('Vv', 0x7FFFFFF0, 0)); });
		} ],
	[ block_leads_to_refine => sub {
			my ($p) = @_;
			my $to = first_of($p, REFINE);
			every_block($p, sub { patch($p, $_[0], $_[1] + B_NEXT, pack('Vv', $to, 0)); });
		} ],
	[ block_used => sub {
			my ($p) = @_;
			every_block($p, sub { patch($p, $_[0], $_[1] + B_USED, pack('v', 65535)); });
		} ],
	[ block_factors => sub {
			my ($p) = @_;
			every_block($p, sub { patch($p, $_[0], $_[1] + B_ADD, pack('V*', (0x7FC00000) x 32)); });
		} ],
	[ head_part_out_of_range => sub {
			my ($p) = @_;
			every_directory($p, sub { patch($p, $_[0], CONTENTS + 8 + 8, pack('v', 60000)); });
		} ],
	[ head_past_the_end => sub {
			my ($p) = @_;
			every_directory($p, sub { patch($p, $_[0], CONTENTS + 8 + 4, pack('V', 0x7FFFFFF0)); });
		} ],
	[ head_to_its_directory => sub {
			my ($p) = @_;
			every_directory($p, sub { patch($p, $_[0], CONTENTS + 8 + 4, pack('V', $_[0])); });
		} ],
	[ block_to_directory => sub {
			my ($p) = @_;
			my $to = first_of($p, DIR);
			every_block($p, sub { patch($p, $_[0], $_[1] + B_NEXT, pack('Vv', $to, 0)); });
		} ],
	[ directory_to_itself => chain_self(DIR) ],
	[ directory_count => sub {
			my ($p) = @_;
			every_directory($p, sub { patch($p, $_[0], CONTENTS, pack('V', NOWHERE)); });
		} ],
	[ directory_list_zero => sub {
			my ($p) = @_;
			every_directory($p, sub { patch($p, $_[0], CONTENTS + 8, pack('V', 0)); });
		} ],
	[ directory_list_huge => sub {
			my ($p) = @_;
			every_directory($p, sub { patch($p, $_[0], CONTENTS + 8, pack('V', NOWHERE)); });
		} ],
	[ tids_to_itself => chain_self(TIDS) ],
	[ tids_count => sub {
			my ($p) = @_;
			patch($p, first_of($p, TIDS), CONTENTS, pack('V', NOWHERE));
		} ],
	[ tids_sort => sub { my ($p) = @_; patch($p, first_of($p, TIDS), OPAQUE + 4, pack('V', 77)); } ],
	[ refine_past_the_end => sub {
			my ($p) = @_;
			every_block($p, sub { patch($p, $_[0], $_[1] + B_REF, pack('V*', (0x7FFFFFF0) x 32)); });
		} ],
	[ refine_slot_out_of_range => sub {
			my ($p) = @_;
			every_block($p, sub { patch($p, $_[0], $_[1] + B_REF_IDX, pack('v*', (65535) x 32)); });
		} ],
	[ refine_partition => sub {
			my ($p) = @_;
			patch($p, $_, CONTENTS + 6, pack('v', 65535))
				for all_of($p, REFINE);
		} ],
	[ refine_code => sub {
			my ($p) = @_;
			patch($p, $_, CONTENTS + 8, "\xFF" x 4000)
				for all_of($p, REFINE);
		} ],
	[ tid_beyond_the_table => sub {
			my ($p) = @_;
			my ($blkno, $at) = some_block($p);
			patch($p, $blkno, $at + B_TID, pack('vvv', 9, 9, 1));
		} ],
	[ tid_twice => sub {
			my ($p) = @_;
			my ($blkno, $at) = some_block($p);
			patch($p, $blkno, $at + B_TID + 6, substr($p->[$blkno], $at + B_TID, 6));
		} ],
	[ tid_lost => sub {
			my ($p) = @_;
			my ($blkno, $at) = some_block($p);
			patch($p, $blkno, $at + B_TID, "\0" x 6);
			patch($p, $blkno, $at + B_ADD, pack('V', 0x7F800000));
		} ],
	[ partition_heads => sub {
			my ($p) = @_;
			patch($p, first_of($p, MODEL), CONTENTS + SDIM * 4, pack('V*', (0x7FFFFFF0) x 3));
		} ],
	[ partition_heads_same => sub {
			my ($p) = @_;
			my $blkno = first_of($p, DIR);
			patch($p, first_of($p, MODEL), CONTENTS + SDIM * 4, pack('V*', ($blkno) x 3));
		} ],
	[ mean => sub {
			my ($p) = @_;
			patch($p, first_of($p, MODEL), CONTENTS, pack('V*', (0x7F800000) x SDIM));
		} ],
	[ format => meta32(M_FORMAT, 99) ],
	[ dims => meta32(M_DIMS, 16000) ],
	[ dims_zero => meta32(M_DIMS, 0) ],
	[ rotated_dims => meta32(M_DIM, 1 << 20) ],
	[ scan_dims => meta32(M_SDIM, 3) ],
	[ opclass => meta16(M_OPCLASS, 7) ],
	[ codec => meta16(M_CODEC, 200) ],
	[ other_codec => meta16(M_CODEC, 4) ],
	[ directory_codec => meta16(M_DIR_CODEC, 0) ],
	[ partitions => meta32(M_NPARTS, 60000) ],
	[ lists => meta32(M_NLISTS, 0x7FFFFFFF) ],
	[ no_lists => meta32(M_NLISTS, 0) ],
	[ next_list => meta32(M_NEXT_LIST, 1) ],
	[ model_place => meta32(M_MODEL, 0xFFFFFFF0) ],
	[ model_pages => meta32(M_MODEL_PAGES, 0xFFFFFFF0) ],
	[ tids_head => meta32(M_TIDS, 0x7FFFFFF0) ],
	[ curve_points => meta32(M_CURVE + 12, 0x7FFFFFFF) ],
);

survive(
	using => 'ivf (v)',
	source => <<SQL,
CREATE TABLE source (id int, v vector(16));
INSERT INTO source
	SELECT i, (SELECT array_agg(((i * (d * 2654435761 % 997 + 1)) % 1009)::real) FROM generate_series(1, 16) d)
	FROM generate_series(1, 1500) i;
INSERT INTO source SELECT -i, NULL FROM generate_series(1, 20) i;
SQL
	query => '[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]',
	more => 'SELECT 5000 + i, (SELECT array_agg((i % 7 + d)::real) FROM generate_series(1, 16) d)::vector
		FROM generate_series(1, 400) i',
	cases => \@cases,
	random => 24,
	# headers of pages, blocks and entries; their tails; anywhere
	place => sub {
		my @places = (int(rand(120)) + CONTENTS, OPAQUE + int(rand(16)), int(rand(PAGE)),
			CONTENTS + BLOCK * int(rand(BLOCKS_PER_PAGE)) + int(rand(24)));
		return $places[ int(rand(@places)) ];
	});
done_testing();
