local p = import 'panels.libsonnet';
local of = p.of;
local day(name) = 'sum(increase(%s[24h])) or vector(0)' % of(name);

{
  grafanaDashboards+:: {
    'zenmux-gateway-overview.json': p.dashboard(
      $._config,
      'zenmux-gateway',
      'ZenMux gateway / Overview',
      'Who asks for images, how it goes, and how long it takes.',
      [
        p.row('The last 24 hours, and now', [
          p.stat('Requests', 'Image requests that were asked for, whatever became of them.', day('requests_total')),
          p.stat('Images', 'Images charged.', day('images_total')),
          p.stat('Cost', 'Money charged. The ledger has the exact amounts: zenmux-gateway usage report.', day('cost_usd_total'), 'currencyUSD', 2),
          p.stat('In flight', 'Image requests being served now.', 'sum(%s)' % of('in_flight_requests')),
          p.stat('Connections', 'Of callers, open now.', 'sum(%s)' % of('connections')),
          p.stat('Reservations pending', 'Of all gateways on the database.', 'max(%s)' % of('reservations_pending')),
          p.stat('Gateways', 'That Prometheus reaches.', 'count(%s)' % of('build_info')),
          p.stat('Workers', 'Processes that serve.', 'sum(%s)' % of('workers')),
        ]),
        p.row('Requests', [
          p.lines(
            'Requests by outcome',
            'Per minute. docs/accounting.md says what each outcome means and charges.',
            [[p.perMinute('requests_total', 'outcome', p.chosen), '{{outcome}}']],
            'cpm',
            stacked=true
          ),
          p.lines(
            'Refusals by reason',
            'Per minute, before anything was bought. docs/errors.md lists the reasons. A shadow limit only counts.',
            [
              [p.perMinute('refusals_total', 'reason'), '{{reason}}'],
              [p.perMinute('shadow_refusals_total', 'scope, unit'), 'shadow: {{scope}} {{unit}}'],
            ],
            'cpm',
            stacked=true
          ),
        ]),
        p.row('Requests that were sent again; logins', [
          p.lines('Replays', 'Per minute, by what became of them: nothing is bought twice.', [[p.perMinute('replays_total', 'kind'), '{{kind}}']], 'cpm', w=16, h=6),
          p.lines('Logins', 'Tries to sign in to the console, per minute.', [[p.perMinute('logins_total', 'method, result'), '{{method}} {{result}}']], 'cpm', w=8, h=6),
        ]),
        p.row('Times', [
          p.quantiles('Duration', 'From arrival to the end of the answer.', 'request_duration_seconds'),
          p.quantiles('Time to first byte', "From arrival to the answer's first byte.", 'time_to_first_byte_seconds'),
          p.quantiles('Added latency', 'What the gateway adds: from arrival to the first byte sent to ZenMux. Of edits, with the upload.', 'overhead_seconds'),
        ]),
        p.row('The processes', [
          p.lines('In flight', 'Answers still read for clients that left are among them.', [['sum by (instance) (%s)' % of('in_flight_requests'), '{{instance}}']], w=8),
          p.lines('Connections of callers', 'Open connections.', [['sum by (instance) (%s)' % of('connections'), '{{instance}}']], w=8),
          p.lines(
            'Connections refused or ended',
            'In an hour, by what was wrong with them. docs/metrics.md lists the kinds.',
            [['sum by (kind) (increase(%s[1h]))' % of('connection_faults_total'), '{{kind}}']],
            w=8
          ),
          p.lines('Log lines dropped', 'Per minute: the disk is full, or nobody reads them.', [[p.perMinute('log_lines_dropped_total', 'instance'), '{{instance}}']], 'cpm', w=8, h=6),
          p.lines('Versions', 'How many gateways run each.', [['count by (version) (%s)' % of('build_info'), '{{version}}']], w=8, h=6),
          p.lines('Configurations', 'How many gateways use each, by its hash.', [['count by (hash) (%s)' % of('config_info'), '{{hash}}']], w=8, h=6),
          p.lines('Last reload succeeded', '0: the files are wrong, and the configuration from before is used. The log says what is wrong.', [['min by (instance) (%s)' % of('config_last_reload_successful'), '{{instance}}']], w=8, h=6),
          p.lines('Age of the configuration', 'Since it was read.', [['time() - min by (instance) (%s)' % of('config_last_reload_success_timestamp_seconds'), '{{instance}}']], 's', w=8, h=6),
          p.lines('Workers', 'Processes that serve.', [['sum by (instance) (%s)' % of('workers'), '{{instance}}']], w=8, h=6),
        ]),
      ]
    ),
  },
}
