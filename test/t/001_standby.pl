# 001_standby.pl -- a standby under replay gives the primary's answers, and goes on after promotion
#
# Generic WAL carries no conflict of its own: what protects a standby's scans is the heap's, and that
# pages are reused only behind the horizon.

use strict;
use warnings;
use Test::More;
use Vecpg;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $ROUNDS = 8;

my $primary = new_server('primary', init => { allows_streaming => 1 },
	conf => "wal_consistency_checking = generic\nautovacuum = off\n");
for my $am (@AM)
{
	my ($t, $u) = ("t_$am->{name}", "u_$am->{name}");
	my ($last, @first) = sort keys %{ $am->{ops} };

	$primary->safe_psql('postgres', "CREATE TABLE $t (id int PRIMARY KEY, v vector(12));"
		. join('', map { index_sql($am, $t, $_) } @first)
		. "INSERT INTO $t SELECT i, made(12, i, 10, 0.7) FROM generate_series(1, 1000) i;"
		. index_sql($am, $t, $last)
		. "CREATE UNLOGGED TABLE $u (id int, v vector(12));"
		. index_sql($am, $u, 'l2')
		. "INSERT INTO $u SELECT i, made(12, i) FROM generate_series(1, 500) i");
}
$primary->backup('start');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'start', has_streaming => 1);
$standby->append_conf('postgresql.conf',
	"max_standby_streaming_delay = 60s\nhot_standby_feedback = on\nwal_receiver_status_interval = 1s\n");
$standby->start;

# Cursors that stay open on the standby while the primary reorganises: with feedback, what they need stays.
my %open;
for my $am (@AM)
{
	my $session = $standby->background_psql('postgres');

	$session->query_safe("SET enable_seqscan = off; SET enable_sort = off; $am->{little}");
	$session->query_safe("BEGIN; DECLARE c CURSOR FOR SELECT id FROM t_$am->{name} ORDER BY v <-> made(12, 7)");
	$session->query_safe('FETCH 5 FROM c');
	$open{ $am->{name} } = $session;
}
$primary->poll_query_until('postgres', 'SELECT backend_xmin IS NOT NULL FROM pg_stat_replication')
  or die 'the standby sent no feedback';

for my $round (1 .. $ROUNDS)
{
	if ($round == $ROUNDS / 2 + 1)
	{
		$primary->wait_for_catchup($standby, 'replay');
		for my $name (sort keys %open)
		{
			my @rows = split(/\n/, $open{$name}->query_safe('FETCH ALL FROM c'));
			my %seen = map { $_ => 1 } @rows;
			is(@rows, 995, "$name: the open cursor gave every row");
			is(keys %seen, 995, "$name: and none twice");
			$open{$name}->quit;
		}
		# From here scans may be cancelled, or told that the index was reorganised.
		$standby->append_conf('postgresql.conf', "hot_standby_feedback = off\nmax_standby_streaming_delay = 50ms\n");
		$standby->reload;
	}
	my $from = $round * 10000;

	for my $am (@AM)
	{
		my $t = "t_$am->{name}";

		$primary->safe_psql('postgres', "INSERT INTO $t SELECT i, CASE WHEN i % 20 > 0 THEN made(12, i, 10, 0.7) END
			FROM generate_series($from, $from + 400) i");
		$primary->safe_psql('postgres', "DELETE FROM $t WHERE id % 5 = $round % 5");
		$primary->safe_psql('postgres', "UPDATE $t SET v = made(12, id + 1, 10, 0.7) WHERE id % 7 = $round % 7");
		$primary->safe_psql('postgres', "VACUUM $t") if $round % 2;
		$primary->safe_psql('postgres', "REINDEX INDEX ${t}_ip") if $round == 5;

		# Beside replay: right, or told why not.
		my ($ret, $out, $err) = $standby->psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ;
			SELECT exact_verdict('$t', '<->', queries(12, 2), 10) || exact_verdict('$t', '<=>', queries(12, 2), NULL); COMMIT");
		ok(($ret == 0 && $out eq 'okok') || $err =~ /conflict with recovery/ || $err =~ $am->{excuse},
			"$am->{name}, round $round: standby under replay") or diag("$out $err");
	}
}

$primary->wait_for_catchup($standby, 'replay');
for my $am (@AM)
{
	my $t = "t_$am->{name}";

	for my $name (sort keys %{ $am->{ops} })
	{
		my $op = $am->{ops}{$name};
		my $sql = "$am->{all}; SELECT md5((by_index('$t', '$op', made(12, 99), 100)).d::text)";

		exact_ok($standby, $t, $op, 12, "$t $name: standby, caught up");
		is($standby->safe_psql('postgres', $sql), $primary->safe_psql('postgres', $sql), "$t $name: as the primary");
		sound_ok($standby, "${t}_$name", "$t $name: sound on the standby");
	}
}

$standby->promote;
for my $am (@AM)
{
	my ($t, $u) = ("t_$am->{name}", "u_$am->{name}");

	$standby->safe_psql('postgres', "INSERT INTO $t SELECT i, made(12, i, 10, 0.7) FROM generate_series(200000, 200500) i");
	$standby->safe_psql('postgres', "DELETE FROM $t WHERE id % 3 = 0");
	$standby->safe_psql('postgres', "VACUUM $t");
	for my $name (sort keys %{ $am->{ops} })
	{
		exact_ok($standby, $t, $am->{ops}{$name}, 12, "$t $name: promoted");
		sound_ok($standby, "${t}_$name", "$t $name: sound after promotion");
	}
	is($standby->safe_psql('postgres', "SELECT count(*) FROM $u"), '0', 'unlogged table is empty');
	$standby->safe_psql('postgres', "INSERT INTO $u SELECT i, made(12, i) FROM generate_series(1, 300) i");
	exact_ok($standby, $u, '<->', 12, "$u: usable after promotion");
	sound_ok($standby, "${u}_l2", "$u: sound");
}

ok(!$standby->log_contains('inconsistent page found|PANIC'), 'replay made the pages that were written');
$standby->stop;
$primary->stop;
done_testing();
