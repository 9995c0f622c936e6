local p = import 'panels.libsonnet';
local of = p.of;

{
  grafanaDashboards+:: {
    'zenmux-gateway-ledger.json': p.dashboard(
      $._config,
      'zenmux-gateway-ledger',
      'ZenMux gateway / Ledger and store',
      'Whether everything that was bought is written down.',
      [
        p.row('Reservations and settlements', [
          p.lines(
            'Reservations pending, requests in flight',
            'Pending without anything in flight for long: `zenmux-gateway ledger expire` resolves them.',
            [
              ['max(%s)' % of('reservations_pending'), 'pending, of all gateways'],
              ['sum(%s)' % of('in_flight_requests'), 'in flight'],
            ]
          ),
          p.lines(
            'Settlements that wait for the database',
            'Kept on disk they are safe. Those in memory only are lost if the process ends.',
            [['sum by (kept) (%s)' % of('settlements_waiting'), '{{kept}}']]
          ),
          p.lines(
            'Corrections per hour',
            'Settlements that came after their reservation had expired, beside what the expiry charged.',
            [[p.perHour('corrections_total', 'charged'), '{{charged}}']]
          ),
          p.lines('Limits passed per hour', 'By such a correction: it was bought.', [[p.perHour('limits_passed_total', 'scope, unit'), '{{scope}} {{unit}}']]),
        ]),
        p.row('The store', [
          p.lines(
            'Requests turned away',
            'Per minute: the database does not answer, or the gateway is overloaded or stopping.',
            [[p.perMinute('requests_total', 'instance', 'outcome="unavailable"'), '{{instance}}']],
            'cpm'
          ),
          p.lines('Jobs', 'Running now, and ended since the start, of the processes that live.', [['sum by (state) (%s)' % of('jobs'), '{{state}}']], 'none'),
          p.lines('Kept files', 'Bytes of all gateways on the database; bounded by GATEWAY_FILES_BYTES_MAX.', [['max(%s)' % of('files_bytes'), 'bytes']], 'bytes'),
          p.lines(
            'Reads for the console and the admin API',
            'With their wait: three run at a time. Requests for images have connections of their own.',
            [
              ['histogram_quantile(%s, sum by (le) (rate(%s[$window])))' % [q, of('console_query_seconds_bucket')], 'p' + q * 100]
              for q in [0.5, 0.95]
            ],
            's'
          ),
          p.quantiles('Added latency', 'A reservation is written before the first byte is sent to ZenMux.', 'overhead_seconds', w=12),
        ]),
      ]
    ),
  },
}
