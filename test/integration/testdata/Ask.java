import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;

/** Asks one question over each JDBC URL, as an application connects: Ask SQL URL... It prints one line for each. */
public class Ask {
    public static void main(String[] args) {
        for (int i = 1; i < args.length; i++) {
            try (Connection c = DriverManager.getConnection(args[i]); ResultSet r = c.createStatement().executeQuery(args[0])) {
                r.next();
                System.out.println(r.getString(1));
            } catch (SQLException e) {
                System.out.println("error: " + e.getMessage().replace('\n', ' '));
            }
        }
    }
}
