local p = import 'panels.libsonnet';
local of = p.of;

{
  grafanaDashboards+:: {
    'zenmux-gateway-upstream.json': p.dashboard(
      $._config,
      'zenmux-gateway-upstream',
      'ZenMux gateway / Upstream and accounts',
      'How ZenMux does.',
      [
        p.row('ZenMux', [
          p.lines(
            'Requests sent to ZenMux that end well',
            'The share with a whole answer. What ZenMux refused for its content is not counted.',
            [[
              'sum by (model) (rate(%s[$window])) / sum by (model) (rate(%s[$window]))' % [
                of('requests_total', p.chosen + ',outcome=~"completed|client_left"'),
                of('requests_total', p.chosen + ',outcome=~"completed|client_left|upstream_failed"'),
              ],
              '{{model}}',
            ]],
            'percentunit'
          ),
          p.lines('Upstream errors', 'Per minute: failures of ZenMux, or of the way to it, by kind.', [[p.perMinute('upstream_errors_total', 'kind'), '{{kind}}']], 'cpm', stacked=true),
          p.lines('Accounts up', 'The share of the processes that use the account.', [['avg by (account) (%s)' % of('account_up'), '{{account}}']], 'percentunit'),
          p.lines('Accounts taken out', 'Per minute, by why.', [[p.perMinute('account_rests_total', 'account, why'), '{{account}}: {{why}}']], 'cpm'),
          p.lines(
            'Time to first byte by model',
            'Half of the requests wait so long, or less.',
            [['histogram_quantile(0.5, sum by (le, model) (rate(%s[$window])))' % of('time_to_first_byte_seconds_bucket', p.chosen), '{{model}}']],
            's'
          ),
          p.lines(
            'Duration by model',
            'One request in twenty takes longer.',
            [['histogram_quantile(0.95, sum by (le, model) (rate(%s[$window])))' % of('request_duration_seconds_bucket', p.chosen), '{{model}}']],
            's'
          ),
        ]),
      ]
    ),
  },
}
