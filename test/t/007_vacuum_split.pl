# 007_vacuum_split.pl -- splits and VACUUM exclude one another: a split is put off, not waited for
#
# A tid that moves from a page VACUUM has not seen to one that it has would outlive its row, and later
# lead to another. VACUUM is made slow, and holds the lock on the metapage for seconds.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use Vecpg;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $node = new_server('main', conf => "autovacuum = off\n");

$node->safe_psql('postgres', q{
	CREATE TABLE t (id int PRIMARY KEY, v vector(64));
	CREATE INDEX t_v ON t USING ivf (v vector_l2_ops);
	INSERT INTO t SELECT i, made(64, i, 10, 0.7) FROM generate_series(1, 3000) i;
	DELETE FROM t WHERE id % 3 = 0;
});
sub splits { return $node->safe_psql('postgres', q{SELECT details->'splits' FROM vecpg_index_info('t_v')}); }

my $held = q{SELECT count(*) FROM pg_locks WHERE locktype = 'page' AND relation = 't_v'::regclass AND granted};
my $vacuum = $node->background_psql('postgres');
$vacuum->query_until(qr/started/, "\\echo started\nSET vacuum_cost_delay = 50; SET vacuum_cost_limit = 5; VACUUM t;\n");
$node->poll_query_until('postgres', "SELECT ($held) > 0") or die 'VACUUM does not come to the index';

my $before = splits();
my $start = time;
# Rows of one cluster, of which a single list would soon be too long.
$node->safe_psql('postgres', 'INSERT INTO t SELECT 10000 + i, made(64, 10 * i, 10, 0.1) FROM generate_series(1, 1000) i');
my $took = time - $start;
my $still = $node->safe_psql('postgres', $held);
SKIP:
{
	skip 'VACUUM was over too soon', 2 unless $still;
	is(splits(), $before, 'no split while VACUUM holds the lock');
	cmp_ok($took, '<', 10, 'and no insert waits for it');
}
$node->poll_query_until('postgres', "SELECT ($held) = 0") or die 'VACUUM does not end';
$vacuum->quit;
exact_ok($node, 't', '<->', 64, 'exact after VACUUM');
sound_ok($node, 't_v', 'sound after VACUUM');

$node->safe_psql('postgres', 'INSERT INTO t SELECT 20000 + i, made(64, 10 * i + 1, 10, 0.1) FROM generate_series(1, 400) i');
$node->safe_psql('postgres', 'INSERT INTO t SELECT 30000 + i, made(64, 10 * i, 10, 0.1) FROM generate_series(1, 400) i');
cmp_ok(splits(), '>', $before, 'the list is split later');
my $longest = $node->safe_psql('postgres', q{SELECT details->'list_rows_max' FROM vecpg_index_info('t_v')});
cmp_ok($longest, '<', 600, "and no list stays long ($longest rows)");
exact_ok($node, 't', '<->', 64, 'exact after the splits');
sound_ok($node, 't_v', 'sound after the splits');

# A list too long to be locked at once is split off piece by piece.
$node->safe_psql('postgres', q{
	CREATE TABLE long (id int, v vector(700));
	CREATE INDEX long_v ON long USING ivf (v vector_l2_ops) WITH (bits = 1);
	INSERT INTO long SELECT -i, made(700, 0) FROM generate_series(1, 9000) i;
});
is($node->safe_psql('postgres', q{SELECT concat(details->'splits', ' ', details->'list_rows_max') FROM vecpg_index_info('long_v')}), '0 9000', 'equal rows make one long list');
$node->safe_psql('postgres', 'INSERT INTO long SELECT i, made(700, 0) + (made(700, i) * made(700, 500 + i)) FROM generate_series(1, 1500) i');
my ($splits, $max) = split(/ /, $node->safe_psql('postgres', q{SELECT concat(details->'splits', ' ', details->'list_rows_max') FROM vecpg_index_info('long_v')}));
cmp_ok($splits, '>', 0, "pieces are split off ($splits splits, longest list now $max)");
exact_ok($node, 'long', '<->', 700, 'exact');
sound_ok($node, 'long_v', 'sound');
$node->safe_psql('postgres', 'DELETE FROM long WHERE id < 0; VACUUM long');
exact_ok($node, 'long', '<->', 700, 'exact after VACUUM');
sound_ok($node, 'long_v', 'sound after VACUUM');
$node->stop;
done_testing();
