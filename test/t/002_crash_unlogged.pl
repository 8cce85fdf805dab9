# 002_crash_unlogged.pl -- after a crash an unlogged index is empty and usable, a logged one complete

use strict;
use warnings;
use Test::More;
use Vecpg;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $node = new_server('main', conf => "autovacuum = off\n");

$node->safe_psql('postgres', q{
	CREATE UNLOGGED TABLE u (id int, v vector(8));
	CREATE TABLE t (id int, v vector(8));
	INSERT INTO u SELECT i, made(8, i) FROM generate_series(1, 500) i;
	INSERT INTO t SELECT * FROM u;
});
for my $table ('u', 't')
{
	$node->safe_psql('postgres', "CREATE INDEX ${table}_8 ON $table USING ivf (v vector_l2_ops);
		CREATE INDEX ${table}_1 ON $table USING ivf (v vector_cosine_ops) WITH (bits = 1);
		CREATE INDEX ${table}_f ON $table USING ivf (v vector_ip_ops) WITH (quantizer = flat);
		INSERT INTO $table SELECT i, made(8, i) FROM generate_series(501, 1000) i");
}
# A clean stop keeps both.
$node->restart;
is($node->safe_psql('postgres', 'SELECT count(*) FROM u'), '1000', 'clean restart keeps unlogged rows');
exact_ok($node, 'u', '<->', 8, 'unlogged index after a clean restart');

$node->safe_psql('postgres', 'INSERT INTO t SELECT i, made(8, i) FROM generate_series(1001, 1200) i');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM u'), '0', 'crash empties unlogged rows');
for my $op ('<->', '<=>', '<#>')
{
	exact_ok($node, 't', $op, 8, "logged index after the crash, $op");
	exact_ok($node, 'u', $op, 8, "unlogged index after the crash, $op");
}
$node->safe_psql('postgres', 'INSERT INTO u SELECT i, made(8, i) FROM generate_series(1, 1000) i');
for my $op ('<->', '<=>', '<#>')
{
	exact_ok($node, 'u', $op, 8, "unlogged index filled again, $op");
}
sound_ok($node, $_, "$_ is sound") for qw(u_8 u_1 u_f t_8 t_1 t_f);

# An index that was built, and a table that was emptied, in the transaction that made them.
$node->safe_psql('postgres', q{
	BEGIN;
	CREATE TABLE n (id int, v vector(8));
	CREATE INDEX n_v ON n USING ivf (v vector_l2_ops);
	INSERT INTO n SELECT i, made(8, i) FROM generate_series(1, 300) i;
	TRUNCATE n;
	INSERT INTO n SELECT i, made(8, i) FROM generate_series(301, 600) i;
	COMMIT;
});
$node->stop('immediate');
$node->start;
exact_ok($node, 'n', '<->', 8, 'index of a new table after a crash');
sound_ok($node, 'n_v', 'sound');
$node->stop;

# The same without WAL for new relations.
$node->append_conf('postgresql.conf', "wal_level = minimal\nmax_wal_senders = 0\nwal_skip_threshold = 0\n");
$node->start;
$node->safe_psql('postgres', q{
	BEGIN;
	CREATE TABLE m (id int, v vector(8));
	CREATE INDEX m_v ON m USING ivf (v vector_l2_ops);
	INSERT INTO m SELECT i, made(8, i) FROM generate_series(1, 600) i;
	CREATE INDEX m_w ON m USING ivf (v vector_ip_ops);
	COMMIT;
	INSERT INTO m SELECT i, made(8, i) FROM generate_series(601, 900) i;
});
$node->stop('immediate');
$node->start;
exact_ok($node, 'm', $_, 8, "wal_level minimal, $_") for '<->', '<#>';
sound_ok($node, $_, "$_ is sound") for qw(m_v m_w);
$node->stop;
command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], 'checksums');
done_testing();
