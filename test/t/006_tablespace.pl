# 006_tablespace.pl -- an index in a tablespace, moved to another and back

use strict;
use warnings;
use Test::More;
use Vecpg;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $node = new_server('main');
my $place = PostgreSQL::Test::Utils::tempdir;

$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$place'");
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int, v vector(8));
	INSERT INTO t SELECT i, made(8, i) FROM generate_series(1, 1000) i;
	CREATE INDEX t_v ON t USING ivf (v vector_l2_ops) TABLESPACE elsewhere;
	INSERT INTO t SELECT i, made(8, i) FROM generate_series(1001, 2000) i;
});
exact_ok($node, 't', '<->', 8, 'in a tablespace');
$node->safe_psql('postgres', 'ALTER INDEX t_v SET TABLESPACE pg_default; INSERT INTO t SELECT i, made(8, i) FROM generate_series(2001, 2500) i');
exact_ok($node, 't', '<->', 8, 'moved');
$node->safe_psql('postgres', 'REINDEX (TABLESPACE elsewhere) INDEX t_v; DELETE FROM t WHERE id % 2 = 0; VACUUM t');
exact_ok($node, 't', '<->', 8, 'rebuilt there');
$node->safe_psql('postgres', 'REINDEX (TABLESPACE pg_default, CONCURRENTLY) INDEX t_v');
exact_ok($node, 't', '<->', 8, 'rebuilt concurrently');
$node->stop('immediate');
$node->start;
exact_ok($node, 't', '<->', 8, 'after a crash');
sound_ok($node, 't_v', 'sound');
$node->stop;
done_testing();
