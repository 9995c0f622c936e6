local p = import 'panels.libsonnet';

{
  local config = $._config,
  local ratio(slo, window) = 'job:zenmux_gateway_%s_errors:ratio_rate%s{job=~"$job"}' % [slo, window],
  local percent(objective) = '%g %%' % (objective * 100),
  local slo(name, title, objective, meaning) = p.row('%s: %s' % [title, percent(objective)], [
    p.stat(
      'Good, last 3 days',
      meaning,
      '1 - max(%s)' % ratio(name, '3d'),
      'percentunit',
      decimals=3,
      thresholds=[['red', null], ['green', objective]],
      w=6,
      h=8
    ),
    p.lines(
      'Burn rate',
      'How many times faster than allowed errors come. At 1 the budget of 30 days lasts 30 days. Alerts begin at 14.4 over 1 hour, 6 over 6 hours, 3 over a day, 1 over 3 days.',
      [
        ['max(%s) / %g' % [ratio(name, window), 1 - objective], window]
        for window in ['5m', '1h', '6h', '1d', '3d']
      ],
      w=18
    ),
  ]),

  grafanaDashboards+:: {
    'zenmux-gateway-slo.json': p.dashboard(
      config,
      'zenmux-gateway-slo',
      'ZenMux gateway / SLO',
      'Availability and added latency against their objectives.',
      [
        slo('availability', 'Availability', config.availabilityObjective, "The share of image requests that did not fail by the gateway's own fault."),
        slo('added_latency', 'Added latency', config.addedLatencyObjective, 'The share of generations that waited no longer than %s s for the gateway itself.' % config.addedLatencySeconds),
        p.row('The requests', [
          p.lines('Bad requests', "Per minute: the gateway's own faults, by how they ended.", [[p.perMinute('requests_total', 'outcome', 'outcome=~"%s"' % config.badOutcomes), '{{outcome}}']], 'cpm'),
          p.quantiles('Added latency', 'From arrival to the first byte sent to ZenMux.', 'overhead_seconds', w=12),
        ]),
      ],
      from='now-3d'
    ),
  },
}
