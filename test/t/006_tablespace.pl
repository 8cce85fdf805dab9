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
for my $am (@AM)
{
	my $t = "t_$am->{name}";
	my $i = "${t}_l2";

	$node->safe_psql('postgres', "CREATE TABLE $t (id int, v vector(8));
		INSERT INTO $t SELECT i, made(8, i) FROM generate_series(1, 1000) i;
		SET default_tablespace = elsewhere;"
		. index_sql($am, $t, 'l2')
		. "INSERT INTO $t SELECT i, made(8, i) FROM generate_series(1001, 2000) i");
	exact_ok($node, $t, '<->', 8, "$i: in a tablespace");
	$node->safe_psql('postgres', "ALTER INDEX $i SET TABLESPACE pg_default; INSERT INTO $t SELECT i, made(8, i) FROM generate_series(2001, 2500) i");
	exact_ok($node, $t, '<->', 8, "$i: moved");
	$node->safe_psql('postgres', "REINDEX (TABLESPACE elsewhere) INDEX $i; DELETE FROM $t WHERE id % 2 = 0; VACUUM $t");
	exact_ok($node, $t, '<->', 8, "$i: rebuilt there");
	$node->safe_psql('postgres', "REINDEX (TABLESPACE pg_default, CONCURRENTLY) INDEX $i");
	exact_ok($node, $t, '<->', 8, "$i: rebuilt concurrently");
}
$node->stop('immediate');
$node->start;
for my $am (@AM)
{
	exact_ok($node, "t_$am->{name}", '<->', 8, "$am->{name}: after a crash");
	sound_ok($node, "t_$am->{name}_l2", "$am->{name}: sound");
}
$node->stop;
done_testing();
