{#- An event that moves to another entity or day is a new identity; its old version must arrive as deleted. These did
    not. -#}
{% test moved_events_are_deleted(model, event_id) %}

with latest_versions as (

    select * from {{ model }}
    where {{ tidemark.valid_and_visible() }}
    qualify {{ tidemark.latest_version(model) }}

)

select {{ event_id }}, count(*) as current_places
from latest_versions
where not {{ tidemark.staged('is_deleted') }}
group by {{ event_id }}
having count(*) > 1

{% endtest %}
