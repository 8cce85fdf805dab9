# 003_cancel.pl -- builds, scans and VACUUM stop within a second when told to, and leave nothing behind
#
# A build is cancelled at moments spread over its length, so that every phase is hit; which ones were is
# read from the progress view.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time usleep);
use Vecpg;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $SLACK = 3;					# seconds: 1 is the promise, a busy machine may need more
my $MOMENTS = 8;

my $node = new_server('main', conf => "autovacuum = off\nmax_parallel_maintenance_workers = 1\nmax_wal_size = 2GB\n");

# Sums of two small sets: fast to make, and no two rows alike.
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int, v vector(256));
	ALTER TABLE t ALTER v SET STORAGE PLAIN;
	WITH p AS MATERIALIZED (SELECT a, made(256, a) AS x FROM generate_series(1, 40) a), q AS MATERIALIZED (SELECT b, made(256, 5000 + b) AS y FROM generate_series(1, 500) b)
		INSERT INTO t SELECT a * 1000 + b, x + y FROM p, q;
	CHECKPOINT;
});

sub relation_files
{
	$node->safe_psql('postgres', 'CHECKPOINT');
	return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_ls_dir('base/' || (SELECT oid FROM pg_database WHERE datname = 'postgres')) f
		WHERE f ~ '^[0-9]'});
}

for my $am (@AM)
{
	cancelled_at_moments($am, $_) for ('64MB', '1MB');
	cancelled_in_phases($am);
	concurrent_build($am);
	scans_and_vacuum($am);
}
$node->stop;
done_testing();

# The index of a test is always t_l2, on the same table.
sub cancelled_at_moments
{
	my ($am, $memory) = @_;
	my $set = "SET maintenance_work_mem = '$memory'";
	my $what = "$am->{name}, $memory";
	my $start = time;

	$node->safe_psql('postgres', "$set; " . index_sql($am, 't', 'l2'));
	my $whole = time - $start;
	$node->safe_psql('postgres', 'DROP INDEX t_l2');
	my $files = relation_files();
	my $worst = 0;
	my $cancelled = 0;

	for my $i (0 .. $MOMENTS - 1)
	{
		my $after = int(1000 * $whole * ($i + 0.3) / $MOMENTS) + 1;

		$start = time;
		my ($ret, $out, $err) = $node->psql('postgres', "$set; SET statement_timeout = $after; " . index_sql($am, 't', 'l2'));
		my $late = time - $start - $after / 1000;
		if ($ret == 0)
		{
			$node->safe_psql('postgres', 'DROP INDEX t_l2');
			next;
		}
		$cancelled++;
		like($err, qr/canceling statement due to statement timeout/, "$what: cancelled after $after ms");
		$worst = $late if $late > $worst;
	}
	cmp_ok($cancelled, '>', 0, "$what: builds were cancelled");
	cmp_ok($worst, '<', $SLACK, sprintf('%s: a build of %.1f s stopped within %.2f s', $what, $whole, $worst));
	is(relation_files(), $files, "$what: no files left");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_ls_tmpdir()'), '0', "$what: no temporary files left");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 't_l2'}), '0', "$what: no index left");
}

# pg_cancel_backend in each phase that the progress view shows.
sub cancelled_in_phases
{
	my ($am) = @_;

	for my $phase (@{ $am->{phases} })
	{
		my $hit = 0;

		# The phase can be over by the time the signal comes: again.
		for (1 .. 10)
		{
			last if $hit = cancelled_in($am, $phase);
		}
		ok($hit, "$am->{name}: phase was met: $phase");
	}
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_ls_tmpdir()'), '0', "$am->{name}: no temporary files left");
}

sub cancelled_in
{
	my ($am, $phase) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	my $watch = $node->background_psql('postgres', on_error_stop => 0);

	# One statement looks until the phase comes and cancels at once.
	$watch->query_until(qr/looking/, qq{\\echo looking
		DO \$\$ DECLARE p text; begun boolean := false; BEGIN
			FOR i IN 1 .. 10000 LOOP
				PERFORM pg_stat_clear_snapshot();
				SELECT phase INTO p FROM pg_stat_progress_create_index WHERE pid = $pid;
				EXIT WHEN p LIKE '%$phase%' OR (begun AND p IS NULL);
				begun := begun OR p IS NOT NULL;
				PERFORM pg_sleep(0.0002);
			END LOOP;
			PERFORM set_config('x.seen', coalesce(p, ''), false);
			PERFORM pg_cancel_backend($pid);
		END \$\$;\n});
	$session->query_until(qr/started/, "\\echo started\nSET maintenance_work_mem = '1MB';\n" . index_sql($am, 't', 'cosine'));
	my $seen = $watch->query_safe(q{SELECT current_setting('x.seen')});
	$watch->quit;
	my $start = time;
	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND state = 'active'");
	my $late = time - $start;
	$session->quit;
	my $left = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 't_cosine'});
	$node->safe_psql('postgres', 'DROP INDEX IF EXISTS t_cosine');
	return 0 if $seen !~ /\Q$phase\E/ || $left;
	cmp_ok($late, '<', $SLACK, sprintf('%s: cancelled while %s: %.2f s', $am->{name}, $phase, $late));
	return 1;
}

# A concurrent build leaves an invalid index.
sub concurrent_build
{
	my ($am) = @_;
	my ($ret, $out, $err) = $node->psql('postgres', 'SET statement_timeout = 60; ' . index_sql($am, 't', 'l2') =~ s/INDEX/INDEX CONCURRENTLY/r);

	like($err, qr/statement timeout/, "$am->{name}: concurrent build cancelled");
	is($node->safe_psql('postgres', q{SELECT indisvalid FROM pg_index WHERE indexrelid = 't_l2'::regclass}), 'f', 'it leaves an invalid index');
	$node->safe_psql('postgres', 'REINDEX INDEX t_l2');
	sound_ok($node, 't_l2', 'which REINDEX makes a sound one');
}

# A scan that reads everything, a VACUUM that removes much.
sub scans_and_vacuum
{
	my ($am) = @_;

	timed_out("$am->{name}: scan", 20, "SET enable_seqscan = off; $am->{all}; SELECT count(*) FROM (SELECT id FROM t ORDER BY v <-> made(256, 1)) s");
	timed_out("$am->{name}: scans in a loop", 50, 'SET enable_seqscan = off; SELECT count(*) FROM t a, LATERAL (SELECT id FROM t ORDER BY v <-> a.v LIMIT 10) n');
	$node->safe_psql('postgres', 'CREATE TABLE kept AS SELECT * FROM t WHERE id % 2 = 0; DELETE FROM t WHERE id % 2 = 0');
	timed_out("$am->{name}: VACUUM", 100, 'SET vacuum_cost_delay = 20; SET vacuum_cost_limit = 100; VACUUM t');
	sound_ok($node, 't_l2', 'sound after the cancelled VACUUM');
	$node->safe_psql('postgres', 'INSERT INTO t SELECT i, made(256, i) FROM generate_series(1, 500) i; VACUUM t');
	sound_ok($node, 't_l2', 'sound after the next');
	exact_ok($node, 't', '<->', 256, 'and exact');
	$node->safe_psql('postgres', 'DROP INDEX t_l2; DELETE FROM t WHERE id <= 500; INSERT INTO t SELECT * FROM kept; DROP TABLE kept; VACUUM t');
}

sub timed_out
{
	my ($what, $ms, $sql) = @_;
	my $start = time;
	my ($ret, $out, $err) = $node->psql('postgres', "SET statement_timeout = $ms; $sql");
	my $late = time - $start - $ms / 1000;

	like($err, qr/statement timeout/, "$what: cancelled");
	cmp_ok($late, '<', $SLACK, sprintf('%s: %.2f s', $what, $late));
}
