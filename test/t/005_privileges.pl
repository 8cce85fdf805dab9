# 005_privileges.pl -- who may install, build, search and inspect

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Vecpg;

my $node = new_server('main');

$node->safe_psql('postgres', q{
	CREATE ROLE owner; CREATE ROLE reader; CREATE ROLE nobody;
	GRANT USAGE ON SCHEMA knn TO PUBLIC;
	GRANT CREATE ON SCHEMA knn TO owner;
	SET ROLE owner;
	CREATE TABLE t (id int, v vector(4), secret boolean);
	INSERT INTO t SELECT i, made(4, i), i % 2 = 0 FROM generate_series(1, 500) i;
	GRANT SELECT ON t TO reader;
});

sub as_role
{
	my ($role, $sql) = @_;
	my ($ret, $out, $err) = $node->psql('postgres', "SET ROLE $role; $sql");
	return $ret == 0 ? $out : $err =~ /permission denied|must be owner/ ? 'denied' : $err;
}

my %calls = (
	search => 'SELECT count(*) FROM (SELECT id FROM t ORDER BY v <-> made(4, 1) LIMIT 5) s',
	info => q{SELECT rows FROM vecpg_index_info('t_l2')},
	recall => q{SELECT recall BETWEEN 0 AND 1 FROM vecpg_recall('t_l2', 10, 5)},
	check => q{SELECT count(*) FROM vecpg_check('t_l2')},
	heap => q{SELECT count(*) FROM vecpg_check('t_l2', true)},
	last => 'SELECT count(*) FROM vecpg_last_scan()',
	cpu => q{SELECT vecpg_cpu() <> ''},
	reindex => 'REINDEX INDEX t_l2',
);
my %expected = (
	postgres => { search => 5, info => 500, recall => 't', check => 0, heap => 0, last => 1, cpu => 't', build => '', reindex => '' },
	reader => { search => 5, info => 500, recall => 't', check => 'denied', heap => 'denied', last => 1, cpu => 't', build => 'denied', reindex => 'denied' },
	nobody => { search => 'denied', info => 'denied', recall => 'denied', check => 'denied', heap => 'denied', last => 1, cpu => 't', build => 'denied', reindex => 'denied' },
);
for my $am (@AM)
{
	$calls{build} = index_sql($am, 't', 'ip');
	$node->safe_psql('postgres', 'RESET ROLE; ' . index_sql($am, 't', 'l2'));
	for my $role (sort keys %expected)
	{
		is(as_role($role, $calls{$_}), $expected{$role}{$_}, "$am->{name}, $role: $_") for sort keys %calls;
	}

	# The owner may call vecpg_check once it is granted.
	is(as_role('owner', $calls{check}), 'denied', 'vecpg_check needs a grant');
	$node->safe_psql('postgres', 'GRANT EXECUTE ON FUNCTION vecpg_check(regclass, boolean) TO owner, reader');
	is(as_role('owner', $calls{heap}), '0', 'then the owner may');
	is(as_role('reader', $calls{heap}), 'denied', 'and others may not');
	$node->safe_psql('postgres', 'REVOKE EXECUTE ON FUNCTION vecpg_check(regclass, boolean) FROM owner, reader');

	# Row security is the executor's: the index finds nothing that the policy hides, and loses nothing else.
	$node->safe_psql('postgres', 'ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t TO reader USING (NOT secret)');
	is(as_role('reader', 'SET enable_seqscan = off; SELECT count(*), bool_or(secret) FROM (SELECT secret FROM t ORDER BY v <-> made(4, 1) LIMIT 300) s'),
		'250|f', "$am->{name}: row security");
	my $hidden = as_role('reader', $calls{recall});
	ok($hidden eq 'denied' || $hidden eq 't' || $hidden =~ /row-level security/, 'vecpg_recall under row security') or diag($hidden);
	$node->safe_psql('postgres', 'DROP POLICY p ON t; ALTER TABLE t DISABLE ROW LEVEL SECURITY; DROP INDEX t_l2, t_ip');
}

# An expression index splits in the backend of whoever inserts, reading heap rows where there are no codes.
$node->safe_psql('postgres', q{
	SET ROLE owner;
	CREATE FUNCTION twice(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE SET search_path FROM CURRENT AS $$ BEGIN RETURN v + v; END $$;
	CREATE TABLE e (id int, v vector);
	CREATE INDEX e_v ON e USING ivf ((twice(v)::vector(4)) vector_l2_ops) WITH (bits = 1);
	RESET ROLE;
	CREATE ROLE inserter LOGIN;
	GRANT INSERT, SELECT ON e TO inserter;
});
$node->safe_psql('postgres', 'INSERT INTO e SELECT i, made(4, i) FROM generate_series(1, 500) i', extra_params => [ '-U', 'inserter' ]);
is($node->safe_psql('postgres', q{SELECT (details->>'splits')::int > 0 FROM vecpg_index_info('e_v')}), 't', 'an expression index splits');
sound_ok($node, 'e_v', 'and is sound');

# The extension is trusted: the owner of a database installs it.
$node->safe_psql('postgres', 'CREATE ROLE dbowner LOGIN; CREATE DATABASE theirs OWNER dbowner');
$node->safe_psql('theirs', q{CREATE EXTENSION vecpg; CREATE TABLE x (v vector(3)); CREATE INDEX ON x USING ivf (v vector_l2_ops); DROP EXTENSION vecpg CASCADE},
	extra_params => [ '-U', 'dbowner' ]);
pass('a database owner without superuser rights installs and removes vecpg');
$node->stop;
done_testing();
