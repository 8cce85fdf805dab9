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

our @EXPORT = qw(new_server add_helpers exact_ok sound_ok);

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

# With every list read, the index answers as the table does: LIMIT 10, and all rows.
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
