# 010_corrupt_pages.pl -- damaged index pages give errors or findings, never a crash or a hang
#
# One table per kind of damage, all in one server without checksums: it is stopped, the files of the
# indexes are changed, and then each index is scanned, inserted into, vacuumed and checked. What the
# answers are does not matter; that there are answers does, and that vecpg_check sees the damage.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# src/store/vpage.h and src/am/ivf/ivfpage.h
use constant {
	PAGE => 8192, CONTENTS => 24, OPAQUE => 8192 - 16,
	META => 16, MODEL => 17, DIR => 18, LIST => 19, REFINE => 20, TIDS => 21,
	SDIM => 16, BLOCK => 664 + 16 * 32 / 8, DIR_ENTRY => 24 + 8,
	NOWHERE => 0xFFFFFFFF
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
use constant RANDOM_TABLES => 24;
use constant RANDOM_FLIPS => 10;
my $SEED = $ENV{CORRUPT_SEED} // 4711;
my $STATEMENT_TIMEOUT = 10;		# seconds: the longest takes well below one
my $HANG_TIMEOUT = 30;

# ---- a file as an array of pages ----

sub load_pages
{
	my ($path) = @_;
	open(my $file, '<:raw', $path) or die "$path: $!";
	local $/;
	my $data = <$file>;
	return [ unpack('(a' . PAGE . ')*', $data) ];
}

sub store_pages
{
	my ($path, $pages) = @_;
	open(my $file, '>:raw', $path) or die "$path: $!";
	print $file join('', @$pages);
	close($file) or die "$path: $!";
}

sub kind
{
	my ($page) = @_;
	return unpack('C', substr($page, OPAQUE + 8, 1));
}

sub first_of
{
	my ($pages, $kind, $skip) = @_;
	my @found = grep { kind($pages->[$_]) == $kind } 0 .. $#$pages;
	die "no page of kind $kind" unless @found;
	return $found[ $skip // 0 ];
}

sub patch
{
	my ($pages, $blkno, $at, $bytes) = @_;
	substr($pages->[$blkno], $at, length($bytes)) = $bytes;
}

sub get32 { my ($pages, $blkno, $at) = @_; return unpack('V', substr($pages->[$blkno], $at, 4)); }

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
	for my $blkno (grep { kind($pages->[$_]) == LIST } 0 .. $#$pages)
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
	$do->($_) for grep { kind($pages->[$_]) == DIR } 0 .. $#$pages;
}

sub meta32
{
	my ($at, $value) = @_;
	return sub { patch($_[0], 0, CONTENTS + $at, pack('V', $value)); };
}

sub meta16
{
	my ($at, $value) = @_;
	return sub { patch($_[0], 0, CONTENTS + $at, pack('v', $value)); };
}

sub zero_first
{
	my ($kind) = @_;
	return sub { my ($p) = @_; $p->[ first_of($p, $kind) ] = "\0" x PAGE; };
}

sub chain_self
{
	my ($kind) = @_;
	return sub {
		my ($p) = @_;
		for my $blkno (grep { kind($p->[$_]) == $kind } 0 .. $#$p)
		{
			patch($p, $blkno, OPAQUE, pack('V', $blkno));
		}
	};
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
				for grep { kind($p->[$_]) == REFINE } 0 .. $#$p;
		} ],
	[ refine_code => sub {
			my ($p) = @_;
			patch($p, $_, CONTENTS + 8, "\xFF" x 4000)
				for grep { kind($p->[$_]) == REFINE } 0 .. $#$p;
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
my %seen = map { $_->[0] => 1 } @cases;

# Random damage: only survival counts. The first half hits pages of links, where it hurts most.
my $flipped = '';
srand($SEED);
for my $n (1 .. RANDOM_TABLES)
{
	push @cases, [ "random_$n" => sub {
			my ($p) = @_;
			for (1 .. RANDOM_FLIPS)
			{
				my $blkno = int(rand(@$p));
				# headers of pages, blocks and entries; their tails; anywhere
				my @places = (int(rand(120)) + CONTENTS, OPAQUE + int(rand(16)), int(rand(PAGE)),
					CONTENTS + BLOCK * int(rand(BLOCKS_PER_PAGE)) + int(rand(24)));
				my $at = $places[ int(rand(@places)) ];
				my $byte = ord(substr($p->[$blkno], $at, 1)) ^ (1 << int(rand(8)));
				patch($p, $blkno, $at, chr($byte));
				$flipped .= "random_$n: block $blkno, byte $at\n";
			}
		} ];
}

# ---- the server ----

my $node = PostgreSQL::Test::Cluster->new('corrupt');
$node->init;
$node->append_conf('postgresql.conf', <<CONF);
autovacuum = off
restart_after_crash = on
log_min_messages = warning
max_parallel_workers_per_gather = 0
ignore_checksum_failure = on
CONF
$node->start;
$node->safe_psql('postgres', <<SQL);
CREATE EXTENSION vecpg;
CREATE TABLE source AS
	SELECT i AS id, (SELECT array_agg(((i * (d * 2654435761 % 997 + 1)) % 1009)::real) FROM generate_series(1, 16) d)::vector(16) AS v
	FROM generate_series(1, 1500) i;
INSERT INTO source SELECT -i, NULL FROM generate_series(1, 20) i;
SQL
my %path;
for my $case (@cases)
{
	my $name = $case->[0];
	$node->safe_psql('postgres', <<SQL);
CREATE TABLE "$name" AS SELECT * FROM source;
ALTER TABLE "$name" ALTER v TYPE vector(16);
CREATE INDEX "${name}_i" ON "$name" USING ivf (v);
DELETE FROM "$name" WHERE id % 3 = 0;
SQL
	$path{$name} = $node->data_dir . '/' .
		$node->safe_psql('postgres', qq(SELECT pg_relation_filepath('"${name}_i"')));
}
is($node->safe_psql('postgres', q(SELECT count(*) FROM vecpg_check('zero_meta_i', true))), '0',
	'the index is sound before the damage');
$node->stop;
for my $case (@cases)
{
	my $pages = load_pages($path{ $case->[0] });
	$case->[1]->($pages);
	store_pages($path{ $case->[0] }, $pages);
}
$node->start;

# ---- what must survive ----

sub attempt
{
	my ($name, $what, $sql) = @_;
	my ($out, $err, $timed_out);
	my $status = $node->psql('postgres', "SET statement_timeout = '${STATEMENT_TIMEOUT}s';\n$sql",
		stdout => \$out, stderr => \$err, timeout => $HANG_TIMEOUT, timed_out => \$timed_out, on_error_die => 0);
	my $problem =
		$timed_out ? 'hangs' :
		$err =~ /statement timeout/ ? 'takes too long' :
		$err =~ /server closed the connection|terminat|crash of another/ ? 'crashes' : undef;
	ok(!$problem, "$name: $what") or diag("$what $problem: $err");
	$node->poll_query_until('postgres', 'SELECT true') if $problem && $problem eq 'crashes';
	if ($timed_out)
	{
		# the backend listens to nothing any more
		$node->stop('immediate');
		$node->start;
	}
	return ($out, $err);
}

for my $case (@cases)
{
	my $name = $case->[0];
	my $index = "'\"${name}_i\"'";
	my $q = q('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]');

	my ($out, $err) = attempt($name, 'check', "SELECT * FROM vecpg_check($index, true);");
	ok($out ne '' || $err =~ /ERROR/, "$name: the damage is seen") if $seen{$name};
	attempt($name, 'info', "SELECT rows FROM vecpg_index_info($index);");
	attempt($name, 'recall', "SELECT recall FROM vecpg_recall($index, 5);");
	attempt($name, 'scan', <<SQL);
SET enable_seqscan = off;
SELECT id FROM "$name" ORDER BY v <-> $q LIMIT 10;
SELECT count(*) FROM (SELECT id FROM "$name" ORDER BY v <-> $q LIMIT 5000) s;
SELECT count(*) FROM (SELECT id FROM "$name" ORDER BY v <-> NULL LIMIT 5000) s;
SQL
	attempt($name, 'insert', <<SQL);
INSERT INTO "$name" SELECT 5000 + i, (SELECT array_agg((i % 7 + d)::real) FROM generate_series(1, 16) d)::vector
	FROM generate_series(1, 400) i;
INSERT INTO "$name" VALUES (6000, NULL);
SQL
	attempt($name, 'vacuum', qq(VACUUM "$name"; DELETE FROM "$name" WHERE id > 100; VACUUM "$name";));
	attempt($name, 'check again', "SELECT * FROM vecpg_check($index);");
	attempt($name, 'reindex', "REINDEX INDEX \"${name}_i\";");
	my $left = $node->safe_psql('postgres', "SELECT count(*) FROM vecpg_check($index, true)");
	is($left, '0', "$name: sound after REINDEX");
}
$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/terminated by signal|PANIC|TRAP:/, 'no process died') or diag($flipped);
done_testing();
