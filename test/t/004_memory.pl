# 004_memory.pl -- a build under any maintenance_work_mem gives the same answers, and keeps to it

use strict;
use warnings;
use Test::More;
use Vecpg;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $DIMS = 384;
my $ROWS = 20000;				# 30 MB of vectors, 10 MB of codes, 2 MB of them spooled
my $FACTOR = 1.3;				# of maintenance_work_mem
my $BASE_MB = 24;				# a backend that builds an empty index, and threads' stacks

my $node = new_server('main', conf => "autovacuum = off\nshared_buffers = 16MB\nmax_parallel_maintenance_workers = 1\nlog_temp_files = 0\n");

$node->safe_psql('postgres', qq{
	CREATE TABLE t (id int, v vector($DIMS));
	ALTER TABLE t ALTER v SET STORAGE PLAIN;
	WITH p AS MATERIALIZED (SELECT a, made($DIMS, a) AS x FROM generate_series(1, $ROWS / 500) a), q AS MATERIALIZED (SELECT b, made($DIMS, 5000 + b) AS y FROM generate_series(1, 500) b)
		INSERT INTO t SELECT a * 1000 + b, x + y FROM p, q;
});

# Private memory of a backend at its peak, in MB.
sub peak
{
	my ($pid) = @_;
	my $status = slurp_file("/proc/$pid/status");
	my ($high) = $status =~ /VmHWM:\s+(\d+)/;
	my ($shared) = $status =~ /RssShmem:\s+(\d+)/;
	my ($file) = $status =~ /RssFile:\s+(\d+)/;

	return ($high - $shared - $file) / 1024;
}

my %answers;
for my $memory (1, 2, 64)
{
	my $session = $node->background_psql('postgres');
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	$session->query_safe("SET maintenance_work_mem = '${memory}MB'");
	$session->query_safe('CREATE INDEX t_v ON t USING ivf (v vector_l2_ops)');
	my $peak = peak($pid);
	$session->quit;
	cmp_ok($peak, '<=', $FACTOR * $memory + $BASE_MB, sprintf('%d MB: peak of the build is %.0f MB', $memory, $peak));

	my $sql = "SET ivf.probes = 1000000; SET vecpg.epsilon = 10; SELECT md5(string_agg((by_index('t', '<->', q, 20)).d::text, ' ')) FROM unnest(queries($DIMS, 5)) q";
	$answers{ $node->safe_psql('postgres', $sql) } = 1;
	cmp_ok($node->safe_psql('postgres', "SELECT mean_recall('t', '<->', (SELECT array_agg(v) FROM (SELECT v FROM t ORDER BY id LIMIT 20) s), 10)"), '>=', 0.9, "$memory MB: recall");
	sound_ok($node, 't_v', "$memory MB: sound");
	$node->safe_psql('postgres', 'DROP INDEX t_v');
}
is(keys %answers, 1, 'the same answers at exhaustive probes');
$node->stop;
done_testing();
