# 002_crash_unlogged.pl -- after a crash an unlogged index is empty and usable, a logged one complete

use strict;
use warnings;
use Test::More;
use Vecpg;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $node = new_server('main', conf => "autovacuum = off\n");

my @pairs = map { my $am = $_; map { [ $am, $_ ] } qw(u t) } @AM;

for my $pair (@pairs)
{
	my ($am, $kind) = @$pair;
	my $table = "${kind}_$am->{name}";
	my $unlogged = $kind eq 'u' ? 'UNLOGGED' : '';

	$node->safe_psql('postgres', "CREATE $unlogged TABLE $table (id int, v vector(8));
		INSERT INTO $table SELECT i, made(8, i) FROM generate_series(1, 500) i;"
		. join('', map { index_sql($am, $table, $_) } sort keys %{ $am->{ops} })
		. "INSERT INTO $table SELECT i, made(8, i) FROM generate_series(501, 1000) i");
}
# A clean stop keeps both.
$node->restart;
for my $am (@AM)
{
	is($node->safe_psql('postgres', "SELECT count(*) FROM u_$am->{name}"), '1000', "$am->{name}: clean restart keeps unlogged rows");
	exact_ok($node, "u_$am->{name}", '<->', 8, "$am->{name}: unlogged index after a clean restart");
	$node->safe_psql('postgres', "INSERT INTO t_$am->{name} SELECT i, made(8, i) FROM generate_series(1001, 1200) i");
}
$node->stop('immediate');
$node->start;
for my $am (@AM)
{
	my ($t, $u) = ("t_$am->{name}", "u_$am->{name}");
	my @ops = sort values %{ $am->{ops} };

	is($node->safe_psql('postgres', "SELECT count(*) FROM $u"), '0', "$u: a crash empties unlogged rows");
	for my $op (@ops)
	{
		exact_ok($node, $t, $op, 8, "$t: logged index after the crash, $op");
		exact_ok($node, $u, $op, 8, "$u: unlogged index after the crash, $op");
	}
	$node->safe_psql('postgres', "INSERT INTO $u SELECT i, made(8, i) FROM generate_series(1, 1000) i");
	exact_ok($node, $u, $_, 8, "$u: unlogged index filled again, $_") for @ops;
	for my $name (sort keys %{ $am->{ops} })
	{
		sound_ok($node, "${_}_$name", "${_}_$name is sound") for ($t, $u);
	}

	# An index that was built, and a table that was emptied, in the transaction that made them.
	$node->safe_psql('postgres', "BEGIN;
		CREATE TABLE n_$am->{name} (id int, v vector(8));"
		. index_sql($am, "n_$am->{name}", 'l2')
		. "INSERT INTO n_$am->{name} SELECT i, made(8, i) FROM generate_series(1, 300) i;
		TRUNCATE n_$am->{name};
		INSERT INTO n_$am->{name} SELECT i, made(8, i) FROM generate_series(301, 600) i;
		COMMIT");
}
$node->stop('immediate');
$node->start;
for my $am (@AM)
{
	exact_ok($node, "n_$am->{name}", '<->', 8, "$am->{name}: index of a new table after a crash");
	sound_ok($node, "n_$am->{name}_l2", "$am->{name}: sound");
}
$node->stop;

# The same without WAL for new relations.
$node->append_conf('postgresql.conf', "wal_level = minimal\nmax_wal_senders = 0\nwal_skip_threshold = 0\n");
$node->start;
for my $am (@AM)
{
	my $m = "m_$am->{name}";

	$node->safe_psql('postgres', "BEGIN; CREATE TABLE $m (id int, v vector(8));"
		. index_sql($am, $m, 'l2')
		. "INSERT INTO $m SELECT i, made(8, i) FROM generate_series(1, 600) i;"
		. index_sql($am, $m, 'ip')
		. "COMMIT; INSERT INTO $m SELECT i, made(8, i) FROM generate_series(601, 900) i");
}
$node->stop('immediate');
$node->start;
for my $am (@AM)
{
	for my $name ('l2', 'ip')
	{
		exact_ok($node, "m_$am->{name}", $am->{ops}{$name}, 8, "$am->{name}: wal_level minimal, $name");
		sound_ok($node, "m_$am->{name}_$name", "$am->{name}: $name is sound");
	}
}
$node->stop;
command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], 'checksums');
done_testing();
