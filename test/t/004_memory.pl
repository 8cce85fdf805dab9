# 004_memory.pl -- a build under any maintenance_work_mem gives the same answers, and keeps to it

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(usleep);
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

# Private memory of a backend at its peak, in MB, while it works: its title says when it has done.
sub peak
{
	my ($pid) = @_;
	my $peak = 0;

	for (;;)
	{
		my ($title) = slurp_file("/proc/$pid/cmdline") =~ /^([^\0]*)/;
		my ($anonymous) = slurp_file("/proc/$pid/status") =~ /RssAnon:\s+(\d+)/;

		$peak = $anonymous if $anonymous > $peak;
		return $peak / 1024 if $title =~ / idle/;
		usleep(5000);
	}
}

my %answers;
for my $am (@AM)
{
	for my $memory (1, 2, 64)
	{
		my $what = "$am->{name}, $memory MB";
		my $session = $node->background_psql('postgres');
		my $pid = $session->query_safe('SELECT pg_backend_pid()');

		$session->query_safe("SET maintenance_work_mem = '${memory}MB'");
		$session->query_until(qr/started/, "\\echo started\n" . index_sql($am, 't', 'l2'));
		usleep(100_000);		# until the title is that of the statement
		my $peak = peak($pid);
		$session->quit;
		cmp_ok($peak, '<=', $FACTOR * $memory + $BASE_MB, sprintf('%s: peak of the build is %.0f MB', $what, $peak));

		my $sql = "$am->{all}; SET vecpg.epsilon = 10; SELECT md5(string_agg((by_index('t', '<->', q, 20)).d::text, ' ')) FROM unnest(queries($DIMS, 5)) q";
		$answers{ $node->safe_psql('postgres', $sql) } = 1;
		cmp_ok($node->safe_psql('postgres', "SELECT mean_recall('t', '<->', (SELECT array_agg(v) FROM (SELECT v FROM t ORDER BY id LIMIT 20) s), 10)"), '>=', 0.9, "$what: recall");
		sound_ok($node, 't_l2', "$what: sound");
		$node->safe_psql('postgres', 'DROP INDEX t_l2');
	}
}
is(keys %answers, 1, 'the same answers when everything is read');
$node->stop;
done_testing();
