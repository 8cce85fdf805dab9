# Vecpg.pm -- what the TAP tests share: servers with the extension and the SQL helpers, and verdicts.
#
# Not a test. sql/knn.sql compares an index's answer with its table's; here that becomes a test point.

package Vecpg;

use strict;
use warnings;
use Exporter 'import';
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(@AM new_server add_helpers index_sql exact_ok sound_ok);

# The access methods, and what a test must know of each: its operators; an option for each operator, so that
# all codes have their turn; the setting by which a scan reads everything, and one by which it reads little;
# what a scan may say on a standby, or beside VACUUM, other than its answer; phases of a build.
our @AM = (
	{   name => 'ivf',
		ops => { l2 => '<->', ip => '<#>', cosine => '<=>' },
		options => { l2 => '', ip => 'WITH (bits = 4)', cosine => 'WITH (bits = 1)' },
		all => 'SET ivf.probes = 1000000',
		little => 'SET ivf.probes = 1',
		excuse => qr/was reorganised/,
		phases => [ 'sampling rows', 'performing k-means', 'assigning rows to lists', 'writing lists' ] },
	{   name => 'hnsw',
		ops => { l2 => '<->', ip => '<#>', cosine => '<=>', l1 => '<+>' },
		options => { l2 => '', ip => 'WITH (bits = 6)', cosine => 'WITH (m = 4, ef_construction = 16)', l1 => '' },
		all => 'SET hnsw.ef_search = 100000',
		little => 'SET hnsw.ef_search = 10',
		excuse => qr/(?!)/,
		phases => [ 'loading tuples', 'building graph', 'measuring recall', 'writing records' ] });

# A running server with checksums and the extension.
sub new_server
{
	my ($name, %args) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(extra => ['--data-checksums'], %{ $args{init} // {} });
	$node->append_conf('postgresql.conf', "fsync = off\n" . ($args{conf} // ''));
	$node->start;
	add_helpers($node);
	return $node;
}

sub add_helpers
{
	my ($node) = @_;

	$node->safe_psql('postgres', 'CREATE EXTENSION vecpg SCHEMA public');
	$node->safe_psql('postgres', slurp_file(dirname(__FILE__) . '/../sql/knn.sql'));
	$node->safe_psql('postgres', 'ALTER DATABASE postgres SET search_path = knn, public');
}

# CREATE INDEX of a table's column v for an operator class ("l2"); the index is TABLE_l2.
sub index_sql
{
	my ($am, $table, $op) = @_;

	return "CREATE INDEX ${table}_$op ON $table USING $am->{name} (v vector_${op}_ops) $am->{options}{$op};\n";
}

# With everything read, the index answers as the table does: LIMIT 10, and all rows.
sub exact_ok
{
	my ($node, $table, $op, $dims, $what) = @_;
	my $sql = join(' || ', map { "exact_verdict('$table', '$op', queries($dims, 2), $_)" } 10, 'NULL');

	return is($node->safe_psql('postgres', "SELECT $sql"), 'okok', $what);
}

# vecpg_check finds nothing, the table's rows included.
sub sound_ok
{
	my ($node, $index, $what) = @_;

	return is($node->safe_psql('postgres', "SELECT * FROM vecpg_check('$index', true)"), '', $what);
}

1;
