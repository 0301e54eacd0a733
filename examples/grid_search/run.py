"""Starts the grid search with the commands of MLgym 0.0.75.

    python run.py --process_count 3 --text_logging_path general_logging/ --num_epochs 10 \
        --websocket_logging_servers http://127.0.0.1:5002 --gs_rest_api_endpoint http://127.0.0.1:5001 \
        train --gs_config_path gs_config.yml
    python run.py --process_count 3 --num_epochs 20 \
        warm_start --grid_search_id 2026-11-23--16-14-30 --gs_config_path gs_config.yml

New projects say `mlgym run gs_config.yml --processes 3` and `mlgym resume 2026-11-23--16-14-30 --epochs 20` instead.
"""

from mlgym.cli.older import main

if __name__ == "__main__":
    main()
