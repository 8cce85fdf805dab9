# Corrupt.pm -- what the tests of damaged pages share: a file as an array of pages, and what must survive.
#
# Not a test. One table per kind of damage, all in one server without checksums: it is stopped, the files
# of the indexes are changed, and then each index is scanned, inserted into, vacuumed and checked. What the
# answers are does not matter; that there are answers does, and that vecpg_check sees the damage.

package Corrupt;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(PAGE CONTENTS OPAQUE NOWHERE O_OWNER O_KIND VS_TIDS
	kind first_of all_of patch get32 meta32 meta16 zero_first chain_self survive);

# src/store/vpage.h
use constant {
	PAGE => 8192, CONTENTS => 24, OPAQUE => 8192 - 16, O_OWNER => 8192 - 12, O_KIND => 8192 - 8,
	VS_TIDS => 21, NOWHERE => 0xFFFFFFFF
};

my $SEED = $ENV{CORRUPT_SEED} // 4711;
my $STATEMENT_TIMEOUT = 10;		# seconds: the longest takes well below one
my $HANG_TIMEOUT = 30;
my $RANDOM_FLIPS = 10;

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
	return unpack('C', substr($page, O_KIND, 1));
}

sub all_of
{
	my ($pages, $kind) = @_;
	return grep { kind($pages->[$_]) == $kind } 0 .. $#$pages;
}

sub first_of
{
	my ($pages, $kind) = @_;
	my @found = all_of($pages, $kind);
	die "no page of kind $kind" unless @found;
	return $found[0];
}

sub patch
{
	my ($pages, $blkno, $at, $bytes) = @_;
	substr($pages->[$blkno], $at, length($bytes)) = $bytes;
}

sub get32 { my ($pages, $blkno, $at) = @_; return unpack('V', substr($pages->[$blkno], $at, 4)); }

# ---- damage of any access method ----

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
	return sub { my ($p) = @_; patch($p, $_, OPAQUE, pack('V', $_)) for all_of($p, $kind); };
}

# ---- what must survive ----

my $node;
my $flipped = '';

# Random damage: only survival counts. place() gives a byte of a page where it hurts.
sub random_damage
{
	my ($n, $place) = @_;
	return [ "random_$n" => sub {
			my ($p) = @_;
			for (1 .. $RANDOM_FLIPS)
			{
				my $blkno = int(rand(@$p));
				my $at = $place->();
				my $byte = ord(substr($p->[$blkno], $at, 1)) ^ (1 << int(rand(8)));
				patch($p, $blkno, $at, chr($byte));
				$flipped .= "random_$n: block $blkno, byte $at\n";
			}
		} ];
}

# survive(using => 'ivf (v)', source => SQL for the table "source", query => a vector, more => SQL for 400
# further rows, cases => [[name, damage], ...], random => how many, place => see random_damage): all cases.
sub survive
{
	my %args = @_;
	my @cases = @{ $args{cases} };
	my %seen = map { $_->[0] => 1 } @cases;

	srand($SEED);
	push @cases, map { random_damage($_, $args{place}) } 1 .. $args{random} // 0;
	start_server($args{source});
	my %path = map { $_->[0] => make_table($_->[0], $args{using}) } @cases;
	is($node->safe_psql('postgres', qq(SELECT count(*) FROM vecpg_check('"$cases[0][0]_i"', true))), '0',
		'the index is sound before the damage');
	$node->stop;
	for my $case (@cases)
	{
		my $pages = load_pages($path{ $case->[0] });
		$case->[1]->($pages);
		store_pages($path{ $case->[0] }, $pages);
	}
	$node->start;
	survive_one($_->[0], $seen{ $_->[0] }, \%args) for @cases;
	$node->stop;
	unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP:/, 'no process died') or diag($flipped);
}

sub start_server
{
	my ($source) = @_;
	$node = PostgreSQL::Test::Cluster->new('corrupt' . ($node ? '2' : ''));
	$node->init;
	$node->append_conf('postgresql.conf', <<CONF);
autovacuum = off
restart_after_crash = on
log_min_messages = warning
max_parallel_workers_per_gather = 0
ignore_checksum_failure = on
CONF
	$node->start;
	$node->safe_psql('postgres', "CREATE EXTENSION vecpg; $source");
}

# A copy of source with its index; the path of the index.
sub make_table
{
	my ($name, $using) = @_;
	$node->safe_psql('postgres', <<SQL);
CREATE TABLE "$name" (LIKE source);
INSERT INTO "$name" SELECT * FROM source;
CREATE INDEX "${name}_i" ON "$name" USING $using;
DELETE FROM "$name" WHERE id % 3 = 0;
SQL
	return $node->data_dir . '/' . $node->safe_psql('postgres', qq(SELECT pg_relation_filepath('"${name}_i"')));
}

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
	ok(!$problem, "$name: $what") or diag("$what $problem: $err\n$flipped");
	$node->poll_query_until('postgres', 'SELECT true') if $problem && $problem eq 'crashes';
	if ($timed_out)
	{
		# the backend listens to nothing any more
		$node->stop('immediate');
		$node->start;
	}
	return ($out, $err);
}

sub survive_one
{
	my ($name, $seen, $args) = @_;
	my $index = "'\"${name}_i\"'";
	my $q = "'$args->{query}'";

	my ($out, $err) = attempt($name, 'check', "SELECT * FROM vecpg_check($index, true);");
	ok($out ne '' || $err =~ /ERROR/, "$name: the damage is seen") if $seen;
	attempt($name, 'info', "SELECT rows FROM vecpg_index_info($index);");
	attempt($name, 'recall', "SELECT recall FROM vecpg_recall($index, 5);");
	attempt($name, 'scan', <<SQL);
SET enable_seqscan = off;
SELECT id FROM "$name" ORDER BY v <-> $q LIMIT 10;
SELECT count(*) FROM (SELECT id FROM "$name" ORDER BY v <-> $q LIMIT 5000) s;
SELECT count(*) FROM (SELECT id FROM "$name" ORDER BY v <-> NULL LIMIT 5000) s;
SQL
	attempt($name, 'insert', qq(INSERT INTO "$name" $args->{more};\nINSERT INTO "$name" VALUES (6000, NULL);));
	attempt($name, 'vacuum', qq(VACUUM "$name"; DELETE FROM "$name" WHERE id > 100; VACUUM "$name";));
	attempt($name, 'check again', "SELECT * FROM vecpg_check($index);");
	attempt($name, 'reindex', "REINDEX INDEX \"${name}_i\";");
	is($node->safe_psql('postgres', "SELECT count(*) FROM vecpg_check($index, true)"), '0', "$name: sound after REINDEX");
}

1;
