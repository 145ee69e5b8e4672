# Rows.pm: rows of pnvs_internal.phone_verification that a test writes by itself: of any
# age, and in any state.
#
#   insert_verification($session, state => q{'approved'}, expires_at => 'now()');

package Pnvs::Rows;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(insert_verification);

# Expressions of SQL; the others are NULL.
my %DEFAULT = (
	id => 'gen_random_uuid()',
	requested_by => 'current_user::regrole',
	state => q{'pending'},
	recipient => q{'6281234567890'},
	service_sid => q{'FA1'},
	channels => q{'{SMS}'},
	channel_position => 0,
	channel => q{'SMS'},
	messages => 0,
	is_decoy => 'false',
	trusted => 'false',
	begun_at => 'now()',
	expires_at => q{now() + '10 minutes'},
	resend_at => 'now()',
	refused_count => 0,
	tries => 0,
	origin_system => '(SELECT system_identifier FROM pg_control_system())',
	origin_database => '(SELECT oid FROM pg_database WHERE datname = current_database())');

# insert_verification(SESSION, [column => EXPRESSION...]): the ID. With count: so many, and n
# counts them; no ID.
sub insert_verification
{
	my ($session, %param) = @_;
	my $count = delete $param{count} // 1;
	my %value = (%DEFAULT, %param);
	my @column = sort keys %value;
	my $result = $session->run('INSERT INTO pnvs_internal.phone_verification (' . join(', ', @column) . ') SELECT '
		  . join(', ', map { $value{$_} } @column) . " FROM generate_series(1, $count) AS n"
		  . ($count == 1 ? ' RETURNING id' : ''));

	return $count == 1 ? $result->value : undef;
}

1;
