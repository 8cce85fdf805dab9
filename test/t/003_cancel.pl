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

for my $memory ('64MB', '1MB')
{
	my $set = "SET maintenance_work_mem = '$memory'";
	my $start = time;

	$node->safe_psql('postgres', "$set; CREATE INDEX t_v ON t USING ivf (v vector_l2_ops)");
	my $whole = time - $start;
	$node->safe_psql('postgres', 'DROP INDEX t_v');
	my $files = relation_files();
	my $worst = 0;
	my $cancelled = 0;

	for my $i (0 .. $MOMENTS - 1)
	{
		my $after = int(1000 * $whole * ($i + 0.3) / $MOMENTS) + 1;

		$start = time;
		my ($ret, $out, $err) = $node->psql('postgres', "$set; SET statement_timeout = $after; CREATE INDEX t_v ON t USING ivf (v vector_l2_ops)");
		my $late = time - $start - $after / 1000;
		if ($ret == 0)
		{
			$node->safe_psql('postgres', 'DROP INDEX t_v');
			next;
		}
		$cancelled++;
		like($err, qr/canceling statement due to statement timeout/, "$memory: cancelled after $after ms");
		$worst = $late if $late > $worst;
	}
	cmp_ok($cancelled, '>', 0, "$memory: builds were cancelled");
	cmp_ok($worst, '<', $SLACK, sprintf('%s: a build of %.1f s stopped within %.2f s', $memory, $whole, $worst));
	is(relation_files(), $files, "$memory: no files left");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_ls_tmpdir()'), '0', "$memory: no temporary files left");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 't_v'}), '0', "$memory: no index left");
}

# pg_cancel_backend in each phase that the progress view shows; a concurrent build leaves an invalid index.
for my $phase ('sampling rows', 'performing k-means', 'assigning rows to lists', 'writing lists')
{
	my $hit = 0;

	for my $try (1 .. 10)
	{
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
		$session->query_until(qr/started/, "\\echo started\nSET maintenance_work_mem = '1MB';\nCREATE INDEX t_v ON t USING ivf (v vector_cosine_ops) WITH (bits = 4);\n");
		my $seen = $watch->query_safe(q{SELECT current_setting('x.seen')});
		$watch->quit;
		my $start = time;
		$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid AND state = 'active'");
		my $late = time - $start;
		$session->quit;
		my $left = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 't_v'});
		$node->safe_psql('postgres', 'DROP INDEX IF EXISTS t_v');
		# The phase can be over by the time the signal comes: again.
		next if $seen !~ /\Q$phase\E/ || $left;
		cmp_ok($late, '<', $SLACK, sprintf('cancelled while %s: %.2f s', $phase, $late));
		$hit = 1;
		last;
	}
	ok($hit, "phase was met: $phase");
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_ls_tmpdir()'), '0', 'no temporary files left');

my ($ret, $out, $err) = $node->psql('postgres', 'SET statement_timeout = 60; CREATE INDEX CONCURRENTLY t_v ON t USING ivf (v vector_l2_ops)');
like($err, qr/statement timeout/, 'concurrent build cancelled');
is($node->safe_psql('postgres', q{SELECT indisvalid FROM pg_index WHERE indexrelid = 't_v'::regclass}), 'f', 'it leaves an invalid index');
$node->safe_psql('postgres', 'REINDEX INDEX t_v');
sound_ok($node, 't_v', 'which REINDEX makes a sound one');

# A scan that reads everything, a VACUUM that removes much.
sub timed_out
{
	my ($what, $ms, $sql) = @_;
	my $start = time;
	my ($ret, $out, $err) = $node->psql('postgres', "SET statement_timeout = $ms; $sql");
	my $late = time - $start - $ms / 1000;

	like($err, qr/statement timeout/, "$what: cancelled");
	cmp_ok($late, '<', $SLACK, sprintf('%s: %.2f s', $what, $late));
}
timed_out('scan', 20, 'SET enable_seqscan = off; SET ivf.probes = 1000000; SELECT count(*) FROM (SELECT id FROM t ORDER BY v <-> made(256, 1)) s');
timed_out('scans in a loop', 50, 'SET enable_seqscan = off; SELECT count(*) FROM t a, LATERAL (SELECT id FROM t ORDER BY v <-> a.v LIMIT 10) n');
$node->safe_psql('postgres', 'DELETE FROM t WHERE id % 2 = 0');
timed_out('VACUUM', 100, 'SET vacuum_cost_delay = 20; SET vacuum_cost_limit = 100; VACUUM t');
sound_ok($node, 't_v', 'sound after the cancelled VACUUM');
$node->safe_psql('postgres', 'INSERT INTO t SELECT i, made(256, i) FROM generate_series(1, 500) i; VACUUM t');
sound_ok($node, 't_v', 'sound after the next');
exact_ok($node, 't', '<->', 256, 'and exact');
$node->stop;
done_testing();
