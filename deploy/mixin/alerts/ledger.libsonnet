local lib = import '../lib.libsonnet';

{
  local config = $._config,
  local m(name, more='') = lib.metric(config.selector, name, more),

  prometheusAlerts+:: {
    groups+: [{
      name: 'zenmux-gateway-ledger',
      rules: [
        lib.alert(
          config,
          'ReservationsStuck',
          'warning',
          lib.line(|||
            min by (job) (min_over_time(%s[30m])) > 0
            and sum by (job) (max_over_time(%s[30m])) == 0
          ||| % [m('reservations_pending'), m('in_flight_requests')]),
          '{{ $value }} reservations are held although nothing is in flight.',
          '`zenmux-gateway ledger expire` resolves them, `zenmux-gateway ledger audit` shows them. Please report it.',
          '30m'
        ),
        lib.alert(
          config,
          'SettlementsWaiting',
          'warning',
          'sum by (job, instance) (%s) > 0' % m('settlements_waiting', 'kept="disk"'),
          '{{ $labels.instance }} keeps {{ $value }} settlements on disk: its database does not take them.',
          'The database is away or slow. What was bought is safe on disk.',
          '5m'
        ),
        lib.alert(
          config,
          'SettlementsAtRisk',
          'critical',
          'sum by (job, instance) (%s) > 0' % m('settlements_waiting', 'kept="memory"'),
          '{{ $labels.instance }} has {{ $value }} settlements in memory only: neither its database nor its disk takes them.',
          'spool_not_usable in the log has the reason. Make room, and do not stop this gateway before its database is back.',
          '1m'
        ),
      ],
    }],
  },
}
